//! Doc comments that stand alone, and those that don't.

use super::Tally;

fn tally(source: &str) -> Tally {
    let mut tally = Tally::default();
    tally.add("a.rs", source);
    tally
}

#[test]
fn a_comment_of_three_words_or_with_a_question_word_is_weak() {
    let source = "/// Which.\nfn a() {}\n/// What it is, in many words.\nfn b() {}\n/// The number of replicas.\nfn c() {}\n";
    let tally = tally(source);
    assert_eq!(tally.weak, [("a.rs".to_owned(), 1), ("a.rs".to_owned(), 3)]);
    assert_eq!(tally.total, 3);
}

#[test]
fn lines_of_one_comment_are_one_comment() {
    assert!(tally("    /// The number\n    /// of replicas.\n    n: u8,\n").weak.is_empty());
}
