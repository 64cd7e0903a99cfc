//! The real input: Debian's list of American words, or as many made-up ones where it is not installed.

use std::env;
use std::fs;

/// Number of words in the list.
const COUNT: usize = 104_334;

/// Returns the words, all different.
pub(crate) fn all() -> Vec<String> {
    match env::var_os("JEDLIK_TEST_WORDS") {
        Some(path) => {
            let text = fs::read_to_string(path).unwrap();
            let words: Vec<String> = text.lines().map(str::to_owned).collect();
            assert!(words.len() > 100_000, "{} words", words.len());
            words
        }
        None => (0..COUNT).map(|number| format!("word-{number}'s")).collect(),
    }
}
