//! Rust source with everything blanked that is not code, so that a rule can look for words.
//!
//! Invariant: line numbers, and lines' lengths in characters, stay as they were.

/// Returns `source` with comments, strings and character literals replaced by blanks.
pub(super) fn code_only(source: &str) -> String {
    let mut rest: Vec<char> = source.chars().collect();
    let mut at = 0;
    while at < rest.len() {
        let end = at + skip(&rest[at..], at > 0 && is_word(rest[at - 1]));
        if end == at {
            at += 1;
            continue;
        }
        for character in &mut rest[at..end] {
            if *character != '\n' {
                *character = ' ';
            }
        }
        at = end;
    }
    rest.into_iter().collect()
}

/// Whether a character may be part of an identifier.
pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Returns the numbers, from 1, of the lines in which `word` stands alone in `code`.
pub(super) fn lines_with_word(code: &str, word: &str) -> Vec<usize> {
    let alone = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            !line[..at].chars().next_back().is_some_and(is_word)
                && !line[at + word.len()..].chars().next().is_some_and(is_word)
        })
    };
    (1..).zip(code.lines()).filter(|(_, line)| alone(line)).map(|(number, _)| number).collect()
}

/// Returns the number of characters to blank from here on; 0 for code.
fn skip(rest: &[char], after_word: bool) -> usize {
    match rest {
        ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => quoted(rest, 1),
        ['b' | 'c', '"', ..] if !after_word => quoted(rest, 2),
        ['b', '\'', ..] if !after_word => 1 + character(&rest[1..]),
        ['r', ..] if !after_word => raw_string(rest, 1),
        ['b' | 'c', 'r', ..] if !after_word => raw_string(rest, 2),
        ['\'', ..] => character(rest),
        _ => 0,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[char], from: usize) -> usize {
    let mut at = from;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[char], from: usize) -> usize {
    let hashes = rest[from..].iter().take_while(|c| **c == '#').count();
    let open = from + hashes;
    if rest.get(open) != Some(&'"') {
        return 0;
    }
    (open + 1..rest.len())
        .find(|at| {
            rest[*at] == '"'
                && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
        })
        .map_or(rest.len(), |at| at + 1 + hashes)
}

/// Returns the length of a character literal; 0 for a lifetime.
fn character(rest: &[char]) -> usize {
    match rest {
        ['\'', '\\', _, tail @ ..] => {
            tail.iter().position(|c| *c == '\'').map_or(rest.len(), |at| at + 4)
        }
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}
