//! Numbers that may only go down: breaches of a rule that are left from the time before the rule.

use serde::Deserialize;

use super::Finding;

/// Path of the file with the numbers, relative to the root.
pub(super) const PATH: &str = "xtask/ratchet.toml";

/// Allowed numbers of breaches. `cargo xtask tidy` fails above a number, and below it until the number is lowered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ratchet {
    /// Doc comments that are too short, or whose opening does not say what the thing is.
    pub(super) doc_comments: usize,
    /// Structs with too many fields.
    pub(super) wide_structs: usize,
}

/// Compares the places of the breaches (path and line) with the allowed number.
pub(super) fn check(
    breaches: &[(String, usize)],
    allowed: usize,
    of: &str,
    remedy: &'static str,
) -> Option<Finding> {
    let count = breaches.len();
    if count < allowed {
        let what = format!("{count} {of}, and {allowed} are allowed");
        return Some(Finding::new(PATH, 1, what, "lower the number to what is there"));
    }
    let (path, line) = breaches.last().filter(|_| count > allowed)?;
    let what = format!("{count} {of}, and {allowed} are allowed; one of them is here");
    Some(Finding::new(path, *line, what, remedy))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn the_ratchet_only_goes_down() {
        let one = [("a.rs".to_owned(), 7)];
        assert!(check(&one, 1, "of 2 are wrong", "mend it").is_none());
        let more = check(&one, 0, "of 2 are wrong", "mend it").unwrap().to_string();
        assert!(more.starts_with("a.rs:7: 1 of 2 are wrong, and 0 are allowed"), "{more}");
        let fewer = check(&one, 2, "of 2 are wrong", "mend it").unwrap().to_string();
        assert!(fewer.contains("lower the number"), "{fewer}");
    }
}
