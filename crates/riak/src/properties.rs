//! Properties of a bucket under Riak's names.
//!
//! | Riak | Jedlik |
//! |---|---|
//! | `n_val` | `n`; where R or W were the majority of the old N and are not set as well, they become that of the new one |
//! | `r`, `w`, `pr`, `pw`, `dw` | the property of that name; `one`, `quorum`, `all` and `default` become numbers when set |
//! | `allow_mult` | `reconcile`: `siblings` if true, otherwise `last-write-wins` |
//! | `last_write_wins` | the opposite of `allow_mult`, which decides where both are set |
//! | `jedlik_*` | properties that Riak does not have, such as `jedlik_ttl_ms` |
//!
//! The others have Riak's default, and can be set to nothing else.
//!
//! Invariant: the settings that [`of`] returns can be given to [`changes`], which then changes nothing.

use jedlik_protocol::Quorum;
use jedlik_protocol::bucket::{BucketProps, PROPERTY_NAMES, Reconcile};
use jedlik_protocol::error::InvalidQuorum;
use thiserror::Error;

/// Value of a property in Riak's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// True or false, as of `allow_mult`.
    Flag(bool),
    /// Whole number, as of `n_val`.
    Number(u64),
    /// Text, as of a quorum by its name.
    Text(String),
    /// Function of Erlang, as of `chash_keyfun`.
    Function {
        /// Module that the function is in.
        module: String,
        /// Name of the function.
        function: String,
    },
    /// Number of hooks, as of `precommit`.
    Hooks(usize),
}

/// Property that can't be set so.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSetting {
    /// Jedlik does not do what the property asks for; leave it out.
    #[error("the bucket property {name} can't be set: Jedlik has it at {fixed} for every bucket")]
    Fixed {
        /// Name of the property.
        name: String,
        /// Value that the property has for every bucket.
        fixed: String,
    },
    /// No property has this name; leave it out.
    #[error(
        "the bucket property {name} is unknown; a bucket's properties are those that a get of them shows"
    )]
    Unknown {
        /// Name as it was given.
        name: String,
    },
    /// The value is not of the property's kind.
    #[error("the bucket property {name} takes {takes}")]
    BadValue {
        /// Name of the property.
        name: String,
        /// Description of the values that the property takes.
        takes: &'static str,
    },
    /// The quorum is above the bucket's N; ask for at most N.
    #[error("the bucket property {name} can't be set: {cause}")]
    Quorum {
        /// Name of the property.
        name: String,
        /// Fault of the quorum.
        cause: InvalidQuorum,
    },
    /// Siblings can't be kept where the last write wins; set one of the two.
    #[error(
        "allow_mult and last_write_wins exclude each other: set allow_mult for siblings, or last_write_wins for none"
    )]
    Contradiction,
}

/// Beginning of the names of properties that Riak does not have.
const OURS: &str = "jedlik_";
/// Properties of Jedlik that Riak does not have.
const OURS_NAMES: [&str; 7] = [
    "min_w",
    "durability",
    "value_limit_bytes",
    "record_limit_bytes",
    "sibling_warning",
    "sibling_limit",
    "ttl_ms",
];
/// Quorums that both have under the same name.
const QUORUMS: [&str; 5] = ["r", "w", "pr", "pw", "dw"];

/// Returns the properties that are the same for every bucket, with Riak's defaults.
fn fixed() -> [(&'static str, Setting); 16] {
    let function = |module: &str, function: &str| Setting::Function {
        module: module.into(),
        function: function.into(),
    };
    [
        ("basic_quorum", Setting::Flag(false)),
        ("big_vclock", Setting::Number(50)),
        ("chash_keyfun", function("riak_core_util", "chash_std_keyfun")),
        ("dvv_enabled", Setting::Flag(true)),
        ("linkfun", function("riak_kv_wm_link_walker", "mapreduce_linkfun")),
        ("node_confirms", Setting::Number(0)),
        ("notfound_ok", Setting::Flag(true)),
        ("old_vclock", Setting::Number(86_400)),
        ("postcommit", Setting::Hooks(0)),
        ("precommit", Setting::Hooks(0)),
        ("repl", Setting::Flag(false)),
        ("rw", Setting::Text("quorum".into())),
        ("small_vclock", Setting::Number(50)),
        ("sync_on_write", Setting::Text("backend".into())),
        ("write_once", Setting::Flag(false)),
        ("young_vclock", Setting::Number(20)),
    ]
}

/// Returns all properties of a bucket, in the order of their names.
#[must_use]
pub fn of(props: &BucketProps) -> Vec<(String, Setting)> {
    let siblings = props.reconcile == Reconcile::Siblings;
    let mut all = vec![
        ("allow_mult".to_owned(), Setting::Flag(siblings)),
        ("last_write_wins".to_owned(), Setting::Flag(!siblings)),
        ("n_val".to_owned(), Setting::Number(props.n.into())),
    ];
    let quorum = |name: &str| (name.to_owned(), Setting::Number(quorum_of(props, name).into()));
    all.extend(QUORUMS.map(quorum));
    let ours = OURS_NAMES.iter().filter_map(|name| {
        let value = props.value(name)?;
        let setting = value.parse().map_or_else(|_| Setting::Text(value), Setting::Number);
        Some((format!("{OURS}{name}"), setting))
    });
    all.extend(ours);
    all.extend(fixed().map(|(name, setting)| (name.to_owned(), setting)));
    all.sort_by(|(name, _), (other, _)| name.cmp(other));
    all
}

/// Returns the changes of Jedlik's properties that `settings` ask for in a bucket that has `props` now.
///
/// # Errors
/// The first setting that can't be had, by its name.
pub fn changes(
    props: &BucketProps,
    settings: &[(String, Setting)],
) -> Result<Vec<(String, String)>, InvalidSetting> {
    let (mut changes, mut asked) = (Vec::new(), Asked::default());
    for (name, setting) in settings {
        asked.take(name, setting, &mut changes)?;
    }
    let n = asked.n.unwrap_or(props.n);
    if n != props.n {
        changes.push(("n".to_owned(), n.to_string()));
    }
    for name in QUORUMS {
        let count = match asked.quorums.iter().rev().find(|(of, _)| *of == name) {
            Some((_, quorum)) => resolve(name, *quorum, n)?,
            None => carried_over(name, props, n),
        };
        if count != quorum_of(props, name) {
            changes.push((name.to_owned(), count.to_string()));
        }
    }
    let reconcile = match (asked.siblings, asked.last_write_wins) {
        (Some(true), Some(true)) => return Err(InvalidSetting::Contradiction),
        (Some(true), _) | (None, Some(false)) => Reconcile::Siblings,
        (Some(false), _) | (None, Some(true)) => Reconcile::LastWriteWins,
        (None, None) => props.reconcile,
    };
    if reconcile != props.reconcile {
        changes.push(("reconcile".to_owned(), reconcile.name().to_owned()));
    }
    changes.retain(|(name, value)| props.value(name).as_ref() != Some(value));
    Ok(changes)
}

/// Returns the changes that give a bucket the properties of one that was never set.
#[must_use]
pub fn reset() -> Vec<(String, String)> {
    let defaults = BucketProps::default();
    let default = |name: &&str| Some(((*name).to_owned(), defaults.value(name)?));
    PROPERTY_NAMES.iter().filter_map(default).collect()
}

/// Settings that depend on one another.
#[derive(Default)]
struct Asked {
    n: Option<u8>,
    quorums: Vec<(&'static str, Quorum)>,
    siblings: Option<bool>,
    last_write_wins: Option<bool>,
}

impl Asked {
    /// Takes one setting, as a change where it depends on no other.
    fn take(
        &mut self,
        name: &str,
        setting: &Setting,
        changes: &mut Vec<(String, String)>,
    ) -> Result<(), InvalidSetting> {
        let bad = |takes| InvalidSetting::BadValue { name: name.to_owned(), takes };
        let flag = || match setting {
            Setting::Flag(flag) => Ok(*flag),
            _ => Err(bad("true or false")),
        };
        if let Some(quorum) = QUORUMS.into_iter().find(|quorum| *quorum == name) {
            self.quorums.push((quorum, as_quorum(name, setting)?));
            return Ok(());
        }
        if let Some(ours) =
            OURS_NAMES.into_iter().find(|ours| name.strip_prefix(OURS) == Some(*ours))
        {
            let value = match setting {
                Setting::Number(number) => number.to_string(),
                Setting::Text(text) => text.clone(),
                _ => return Err(bad("a number or a text")),
            };
            changes.push((ours.to_owned(), value));
            return Ok(());
        }
        match name {
            "n_val" => self.n = Some(as_count(name, setting)?),
            "allow_mult" => self.siblings = Some(flag()?),
            "last_write_wins" => self.last_write_wins = Some(flag()?),
            _ => check_fixed(name, setting)?,
        }
        Ok(())
    }
}

fn check_fixed(name: &str, setting: &Setting) -> Result<(), InvalidSetting> {
    match fixed().into_iter().find(|(fixed, _)| *fixed == name) {
        Some((_, fixed)) if fixed == *setting => Ok(()),
        Some((_, fixed)) => {
            Err(InvalidSetting::Fixed { name: name.to_owned(), fixed: fixed.to_string() })
        }
        None => Err(InvalidSetting::Unknown { name: name.to_owned() }),
    }
}

fn as_count(name: &str, setting: &Setting) -> Result<u8, InvalidSetting> {
    let count = match setting {
        Setting::Number(number) => u8::try_from(*number).ok(),
        _ => None,
    };
    count.ok_or(InvalidSetting::BadValue { name: name.to_owned(), takes: "a small number" })
}

fn as_quorum(name: &str, setting: &Setting) -> Result<Quorum, InvalidSetting> {
    let quorum = match setting {
        Setting::Number(number) => u8::try_from(*number).ok().map(Quorum::Count),
        Setting::Text(text) => text.parse().ok(),
        _ => None,
    };
    let takes = "a number, or one of: one, quorum, all, default";
    quorum.ok_or(InvalidSetting::BadValue { name: name.to_owned(), takes })
}

/// Returns the number that a quorum is in a bucket with this N.
fn resolve(name: &str, quorum: Quorum, n: u8) -> Result<u8, InvalidSetting> {
    let default = quorum_of(&BucketProps::default(), name);
    let resolved = quorum.resolve(default, n);
    resolved.map_err(|cause| InvalidSetting::Quorum { name: name.to_owned(), cause })
}

/// Returns a quorum that is not set as it is once the bucket has this N.
fn carried_over(name: &str, props: &BucketProps, n: u8) -> u8 {
    let count = quorum_of(props, name);
    let majority = |n: u8| n / 2 + 1;
    let follows = n != props.n && matches!(name, "r" | "w") && count == majority(props.n);
    if follows { majority(n) } else { count.min(n) }
}

fn quorum_of(props: &BucketProps, name: &str) -> u8 {
    match name {
        "r" => props.r,
        "w" => props.w,
        "pr" => props.pr,
        "pw" => props.pw,
        _ => props.dw,
    }
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::Function { module, function } => write!(f, "{module}:{function}"),
            Self::Hooks(0) => f.write_str("no hooks"),
            Self::Hooks(count) => write!(f, "{count} hooks"),
        }
    }
}

#[cfg(test)]
mod tests {
    use jedlik_protocol::bucket::{BucketProps, Reconcile};

    use super::{InvalidSetting, Setting, changes, of, reset};

    /// Returns the properties after the settings, or why they can't be had.
    fn set(
        props: &BucketProps,
        settings: &[(&str, Setting)],
    ) -> Result<BucketProps, InvalidSetting> {
        let settings: Vec<_> =
            settings.iter().map(|(name, setting)| ((*name).to_owned(), setting.clone())).collect();
        let mut changed = props.clone();
        for (name, value) in changes(props, &settings)? {
            changed.set(&name, &value).unwrap();
        }
        changed.check().unwrap();
        Ok(changed)
    }

    fn text(text: &str) -> Setting {
        Setting::Text(text.into())
    }

    #[test]
    fn what_is_shown_can_be_set_and_changes_nothing() {
        let last = BucketProps {
            n: 5,
            r: 1,
            w: 5,
            pr: 1,
            dw: 3,
            reconcile: Reconcile::LastWriteWins,
            ttl_ms: Some(70),
            ..BucketProps::default()
        };
        for props in [BucketProps::default(), last] {
            assert_eq!(changes(&props, &of(&props)), Ok(Vec::new()));
        }
    }

    #[test]
    fn all_of_riaks_properties_are_shown_with_their_values() {
        let shown = of(&BucketProps { w: 3, ..BucketProps::default() });
        let value = |wanted: &str| {
            let found = shown.iter().find(|(name, _)| name == wanted);
            found.unwrap_or_else(|| panic!("{wanted}")).1.to_string()
        };
        for (name, expected) in [
            ("n_val", "3"),
            ("w", "3"),
            ("allow_mult", "true"),
            ("last_write_wins", "false"),
            ("notfound_ok", "true"),
            ("basic_quorum", "false"),
            ("rw", "quorum"),
            ("precommit", "no hooks"),
            ("chash_keyfun", "riak_core_util:chash_std_keyfun"),
            ("jedlik_durability", "synced"),
            ("jedlik_ttl_ms", "none"),
            ("jedlik_sibling_limit", "100"),
        ] {
            assert_eq!(value(name), expected, "{name}");
        }
        assert!(shown.is_sorted_by(|(a, _), (b, _)| a < b), "{shown:?}");
    }

    #[test]
    fn quorums_are_numbers_or_names() {
        let props = BucketProps::default();
        let five = set(&props, &[("n_val", Setting::Number(5)), ("r", text("all"))]).unwrap();
        assert_eq!((five.n, five.r, five.w), (5, 5, 3), "w was a majority, and stays one");
        let one = set(&props, &[("n_val", Setting::Number(1))]).unwrap();
        assert_eq!((one.n, one.r, one.w), (1, 1, 1));
        let loose = set(&props, &[("w", text("one")), ("pw", Setting::Number(1))]).unwrap();
        assert_eq!((loose.w, loose.pw), (1, 1));
        let above = set(&props, &[("r", Setting::Number(4))]).unwrap_err();
        assert!(above.to_string().contains("above the 3 replicas"), "{above}");
    }

    #[test]
    fn siblings_or_the_last_write() {
        let siblings = BucketProps::default();
        let last = BucketProps { reconcile: Reconcile::LastWriteWins, ..BucketProps::default() };
        let (yes, no) = (Setting::Flag(true), Setting::Flag(false));
        for (settings, expected) in [
            (vec![("allow_mult", yes.clone())], &siblings),
            (vec![("allow_mult", no.clone())], &last),
            (vec![("last_write_wins", yes.clone())], &last),
            (vec![("last_write_wins", no.clone())], &siblings),
            (vec![("allow_mult", no.clone()), ("last_write_wins", no.clone())], &last),
            (vec![("allow_mult", yes.clone()), ("last_write_wins", no)], &siblings),
        ] {
            for props in [&siblings, &last] {
                assert_eq!(set(props, &settings).as_ref(), Ok(expected), "{settings:?}");
            }
        }
        let both = [("allow_mult", yes.clone()), ("last_write_wins", yes)];
        assert_eq!(set(&siblings, &both), Err(InvalidSetting::Contradiction));
    }

    #[test]
    fn what_jedlik_does_not_have_is_refused_by_name() {
        for (name, setting) in [
            ("precommit", Setting::Hooks(1)),
            ("notfound_ok", Setting::Flag(false)),
            ("search_index", text("people")),
            ("datatype", text("counter")),
            ("consistent", Setting::Flag(true)),
            ("n_val", text("many")),
            ("n_val", Setting::Number(300)),
            ("allow_mult", Setting::Number(1)),
            ("r", text("many")),
            ("jedlik_ttl_ms", Setting::Flag(true)),
        ] {
            let refused = set(&BucketProps::default(), &[(name, setting)]).unwrap_err();
            assert!(refused.to_string().contains(name), "{refused}");
        }
    }

    #[test]
    fn jedliks_own_are_set_by_their_names_and_a_reset_takes_everything_back() {
        let own = [("jedlik_ttl_ms", Setting::Number(70)), ("jedlik_durability", text("written"))];
        let mut props = set(&BucketProps::default(), &own).unwrap();
        assert_eq!(props.ttl_ms, Some(70));
        for (name, value) in reset() {
            props.set(&name, &value).unwrap();
        }
        assert_eq!(props, BucketProps::default());
    }
}
