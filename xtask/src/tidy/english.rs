//! The rule that a doc comment stands alone: it has four words at least, and opens with what the thing is. Counted
//! over the workspace against a number that only goes down.

use super::Finding;
use super::ratchet;

/// Fewest words of a doc comment that can stand alone.
const LEAST_WORDS: usize = 4;
/// Openings that need the line before or below to be understood.
const OPENINGS: [&str; 5] = ["Who", "Whom", "What", "Which", "Whoever"];

/// Count of the workspace's doc comments, and of those that don't stand alone.
#[derive(Debug, Default)]
pub(super) struct Tally {
    total: usize,
    weak: Vec<(String, usize)>,
}

impl Tally {
    /// Counts the doc comments of one file.
    pub(super) fn add(&mut self, path: &str, source: &str) {
        let mut comment = String::new();
        let mut from = 0;
        for (number, line) in (1..).zip(source.lines().chain([""])) {
            match line.trim_start().strip_prefix("///") {
                Some(words) => {
                    if comment.is_empty() {
                        from = number;
                    }
                    comment.push_str(words);
                    comment.push(' ');
                }
                None if comment.is_empty() => {}
                None => {
                    self.total += 1;
                    if !stands_alone(&comment) {
                        self.weak.push((path.to_owned(), from));
                    }
                    comment.clear();
                }
            }
        }
    }

    /// Compares the count with the allowed number.
    pub(super) fn check(&self, allowed: usize) -> Option<Finding> {
        let of = format!("of {} doc comments don't stand alone", self.total);
        ratchet::check(&self.weak, allowed, &of, "say in four words or more what the thing is")
    }
}

fn stands_alone(comment: &str) -> bool {
    let mut words = comment.split_whitespace();
    let opening = words.clone().next().unwrap_or_default().trim_end_matches([',', '.', ':', ';']);
    words.nth(LEAST_WORDS - 1).is_some() && !OPENINGS.contains(&opening)
}

#[cfg(test)]
mod tests;
