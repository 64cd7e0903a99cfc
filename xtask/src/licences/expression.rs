//! SPDX expressions: `MIT OR (Apache-2.0 AND ISC)`, and `MIT/Apache-2.0` as older crates write it.
//!
//! Invariant: what can't be read is not met.

use std::iter::Peekable;
use std::vec::IntoIter;

/// Whether licences that `allowed` accepts are enough for the expression.
pub(super) fn is_met(expression: &str, allowed: impl Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut words = words.into_iter().peekable();
    any(&mut words, &allowed) == Some(true) && words.next().is_none()
}

type Words<'a> = Peekable<IntoIter<&'a str>>;

/// Parts with OR between them.
fn any(words: &mut Words<'_>, allowed: &impl Fn(&str) -> bool) -> Option<bool> {
    let mut met = every(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        met |= every(words, allowed)?;
    }
    Some(met)
}

/// Parts with AND between them, which binds more strongly.
fn every(words: &mut Words<'_>, allowed: &impl Fn(&str) -> bool) -> Option<bool> {
    let mut met = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed)?;
    }
    Some(met)
}

/// A licence, with its exception if it has one, or what is in parentheses.
fn one(words: &mut Words<'_>, allowed: &impl Fn(&str) -> bool) -> Option<bool> {
    match words.next()? {
        "(" => {
            let met = any(words, allowed)?;
            words.next_if_eq(&")").map(|_| met)
        }
        "OR" | "AND" | "WITH" | ")" => None,
        licence if words.next_if_eq(&"WITH").is_some() => {
            Some(allowed(&format!("{licence} WITH {}", words.next()?)))
        }
        licence => Some(allowed(licence)),
    }
}

#[cfg(test)]
mod tests {
    use super::is_met;

    #[test]
    fn an_expression_is_met_by_licences_that_are_enough_for_it() {
        for (expression, met) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT OR GPL-3.0", true),
            ("GPL-3.0/MIT", true),
            ("MIT AND GPL-3.0", false),
            ("GPL-3.0 OR MIT AND ISC", true),
            ("(GPL-3.0 OR MIT) AND ISC", true),
            ("GPL-3.0 AND (MIT OR ISC)", false),
            ("MIT WITH LLVM-exception", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-3.0 OR Apache-2.0 WITH LLVM-exception", true),
            ("", false),
            ("MIT OR", false),
            ("MIT ISC", false),
            ("(MIT", false),
            ("MIT)", false),
        ] {
            let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"];
            assert_eq!(is_met(expression, |id| allowed.contains(&id)), met, "{expression:?}");
        }
    }
}
