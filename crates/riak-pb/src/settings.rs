//! Properties of a bucket in messages, as settings by their names and back.
//!
//! Invariant: every field that a client has set is a setting, and what a message has no field for is not shown.

use bytes::Bytes;
use jedlik_protocol::Quorum;
use jedlik_riak::properties::Setting;
use jedlik_riak::quorums::from_number;
use prost::Message;

use crate::messages::{Flags, Function, Functions, Numbers};
use crate::refusal::Refusal;

/// Number by which a message names a majority.
const MAJORITY: u32 = 4_294_967_293;

/// Reads the properties that a client sets.
///
/// # Errors
/// They are not well formed, or one of them is never to be had.
pub(crate) fn received(props: Bytes) -> Result<Vec<(String, Setting)>, Refusal> {
    let numbers = Numbers::decode(props.clone()).map_err(|error| malformed(&error))?;
    let flags = Flags::decode(props.clone()).map_err(|error| malformed(&error))?;
    let functions = Functions::decode(props).map_err(|error| malformed(&error))?;
    let named = numbers_received(&numbers)
        .into_iter()
        .chain(flags_received(&flags)?)
        .chain(functions_received(&functions)?);
    Ok(named.filter_map(|(name, setting)| Some((name.to_owned(), setting?))).collect())
}

/// Property by its name; `None` where the client does not set it.
type Named = (&'static str, Option<Setting>);

fn numbers_received(numbers: &Numbers) -> [Named; 12] {
    let number = |number: Option<u32>| number.map(|number| Setting::Number(number.into()));
    let quorum = |number: Option<u32>| number.map(quorum_received);
    [
        ("n_val", number(numbers.n_val)),
        ("old_vclock", number(numbers.old_vclock)),
        ("young_vclock", number(numbers.young_vclock)),
        ("big_vclock", number(numbers.big_vclock)),
        ("small_vclock", number(numbers.small_vclock)),
        ("hll_precision", number(numbers.hll_precision)),
        ("pr", quorum(numbers.pr)),
        ("r", quorum(numbers.r)),
        ("w", quorum(numbers.w)),
        ("pw", quorum(numbers.pw)),
        ("dw", quorum(numbers.dw)),
        ("rw", quorum(numbers.rw)),
    ]
}

fn quorum_received(number: u32) -> Setting {
    match from_number(number) {
        Ok(Quorum::Count(_)) | Err(_) => Setting::Number(number.into()),
        Ok(named) => Setting::Text(named.to_string()),
    }
}

fn flags_received(flags: &Flags) -> Result<[Named; 6], Refusal> {
    // Off is what they are: clients that send every property send these as well.
    for (name, on) in [("search", flags.search), ("consistent", flags.consistent)] {
        if on == Some(true) {
            return Err(never(name));
        }
    }
    let flag = |flag: Option<bool>| flag.map(Setting::Flag);
    let repl = flags.repl.map(|mode| match mode {
        0 => Setting::Flag(false),
        mode => Setting::Number(mode.unsigned_abs().into()),
    });
    Ok([
        ("allow_mult", flag(flags.allow_mult)),
        ("last_write_wins", flag(flags.last_write_wins)),
        ("basic_quorum", flag(flags.basic_quorum)),
        ("notfound_ok", flag(flags.notfound_ok)),
        ("write_once", flag(flags.write_once)),
        ("repl", repl),
    ])
}

fn functions_received(functions: &Functions) -> Result<[Named; 4], Refusal> {
    let names = [
        ("backend", &functions.backend),
        ("search_index", &functions.search_index),
        ("datatype", &functions.datatype),
    ];
    if let Some((name, _)) =
        names.into_iter().find(|(_, value)| value.as_ref().is_some_and(|value| !value.is_empty()))
    {
        return Err(never(name));
    }
    let hooks = |count: usize, has: Option<bool>| {
        (count > 0 || has == Some(true)).then_some(Setting::Hooks(count))
    };
    let function = |function: &Option<Function>| {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let Function { module, function } = function.as_ref()?;
        Some(Setting::Function { module: text(module), function: text(function) })
    };
    Ok([
        ("precommit", hooks(functions.precommit.len(), functions.has_precommit)),
        ("postcommit", hooks(functions.postcommit.len(), functions.has_postcommit)),
        ("chash_keyfun", function(&functions.chash_keyfun)),
        ("linkfun", function(&functions.linkfun)),
    ])
}

/// Encodes the properties of a bucket.
pub(crate) fn shown(settings: &[(String, Setting)]) -> Bytes {
    let setting =
        |wanted: &str| settings.iter().find(|(name, _)| name == wanted).map(|(_, setting)| setting);
    let number = |name: &str| setting(name).and_then(number_shown);
    let flag = |name: &str| match setting(name) {
        Some(Setting::Flag(flag)) => Some(*flag),
        _ => None,
    };
    let function = |name: &str| match setting(name) {
        Some(Setting::Function { module, function }) => Some(Function {
            module: Bytes::copy_from_slice(module.as_bytes()),
            function: Bytes::copy_from_slice(function.as_bytes()),
        }),
        _ => None,
    };
    let numbers = Numbers {
        n_val: number("n_val"),
        old_vclock: number("old_vclock"),
        young_vclock: number("young_vclock"),
        big_vclock: number("big_vclock"),
        small_vclock: number("small_vclock"),
        pr: number("pr"),
        r: number("r"),
        w: number("w"),
        pw: number("pw"),
        dw: number("dw"),
        rw: number("rw"),
        hll_precision: None,
    };
    let flags = Flags {
        allow_mult: flag("allow_mult"),
        last_write_wins: flag("last_write_wins"),
        basic_quorum: flag("basic_quorum"),
        notfound_ok: flag("notfound_ok"),
        search: Some(false),
        repl: flag("repl").map(i32::from),
        consistent: Some(false),
        write_once: flag("write_once"),
    };
    let functions = Functions {
        has_precommit: setting("precommit").map(|_| true),
        has_postcommit: setting("postcommit").map(|_| true),
        chash_keyfun: function("chash_keyfun"),
        linkfun: function("linkfun"),
        ..Functions::default()
    };
    // Messages one after the other are one message with the fields of all.
    [numbers.encode_to_vec(), flags.encode_to_vec(), functions.encode_to_vec()].concat().into()
}

fn number_shown(setting: &Setting) -> Option<u32> {
    match setting {
        Setting::Number(number) => u32::try_from(*number).ok(),
        // The only one of all properties that is shown by its name.
        Setting::Text(text) if text == "quorum" => Some(MAJORITY),
        _ => None,
    }
}

fn never(name: &str) -> Refusal {
    Refusal::invalid(format!("the bucket property {name} can't be set: Jedlik doesn't have it"))
}

fn malformed(error: &prost::DecodeError) -> Refusal {
    Refusal::invalid(format!("the properties can't be read: {error}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jedlik_protocol::bucket::BucketProps;
    use jedlik_riak::properties::{Setting, changes, of};
    use prost::Message;

    use super::{MAJORITY, received, shown};
    use crate::messages::{Flags, Functions, Hook, Numbers};

    #[test]
    fn what_is_shown_can_be_set_again_and_changes_nothing() {
        let props = BucketProps { n: 5, w: 4, dw: 1, ..BucketProps::default() };
        let encoded = shown(&of(&props));
        let numbers = Numbers::decode(encoded.clone()).unwrap();
        assert_eq!((numbers.n_val, numbers.w, numbers.rw), (Some(5), Some(4), Some(MAJORITY)));
        let flags = Flags::decode(encoded.clone()).unwrap();
        assert_eq!(
            (flags.allow_mult, flags.repl, flags.search),
            (Some(true), Some(0), Some(false))
        );
        let functions = Functions::decode(encoded.clone()).unwrap();
        let module = functions.chash_keyfun.unwrap().module;
        assert_eq!((&module[..], functions.has_precommit), (&b"riak_core_util"[..], Some(true)));
        assert_eq!(changes(&props, &received(encoded).unwrap()), Ok(Vec::new()));
    }

    #[test]
    fn quorums_are_numbers_or_names() {
        let numbers =
            Numbers { r: Some(MAJORITY), w: Some(3), pw: Some(300), ..Numbers::default() };
        let settings = received(numbers.encode_to_vec().into()).unwrap();
        let setting = |wanted: &str| settings.iter().find(|(name, _)| name == wanted).unwrap();
        assert_eq!(setting("r").1, Setting::Text("quorum".into()));
        assert_eq!(
            (&setting("w").1, &setting("pw").1),
            (&Setting::Number(3), &Setting::Number(300))
        );
    }

    #[test]
    fn what_is_never_to_be_had_is_refused_unless_it_is_off() {
        let refused = |props: Vec<u8>| match received(props.into()) {
            Ok(settings) => changes(&BucketProps::default(), &settings).is_err(),
            Err(_) => true,
        };
        for (on, is_refused) in [(true, true), (false, false)] {
            for flags in [
                Flags { search: Some(on), ..Flags::default() },
                Flags { consistent: Some(on), ..Flags::default() },
                Flags { write_once: Some(on), ..Flags::default() },
                Flags { repl: Some(3 * i32::from(on)), ..Flags::default() },
            ] {
                assert_eq!(refused(flags.encode_to_vec()), is_refused, "{flags:?}");
            }
            let name = if on { Bytes::from_static(b"x") } else { Bytes::new() };
            let hooks = vec![Hook {}; usize::from(on)];
            for functions in [
                Functions { backend: Some(name.clone()), ..Functions::default() },
                Functions { datatype: Some(name.clone()), ..Functions::default() },
                Functions { search_index: Some(name.clone()), ..Functions::default() },
                Functions { precommit: hooks.clone(), ..Functions::default() },
                Functions { postcommit: hooks, has_postcommit: Some(true), ..Functions::default() },
            ] {
                assert_eq!(refused(functions.encode_to_vec()), is_refused, "{functions:?}");
            }
        }
        assert!(received(Bytes::from_static(b"nonsense")).is_err());
    }
}
