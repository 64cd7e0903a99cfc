//! The rule that a struct of more than 15 fields should be two structs.

use super::lexer::is_word;

/// Most fields that a struct may have.
const FIELD_LIMIT: usize = 15;

/// Returns the path and line of each struct with too many named fields; `code` has comments and strings blanked.
pub(super) fn wide(path: &str, code: &str) -> Vec<(String, usize)> {
    let mut wide = Vec::new();
    for (at, word) in code.match_indices("struct ") {
        if code[..at].chars().next_back().is_some_and(is_word) {
            continue;
        }
        let rest = &code[at + word.len()..];
        let name: String = rest.chars().take_while(|character| is_word(*character)).collect();
        let Some(open) = rest.find(['{', ';', '(']).filter(|open| rest[*open..].starts_with('{'))
        else {
            continue;
        };
        let count = fields(&rest[open + 1..]);
        if count > FIELD_LIMIT && !name.is_empty() {
            wide.push((path.to_owned(), code[..at].matches('\n').count() + 1));
        }
    }
    wide
}

/// Counts the fields before the brace that ends a struct, in the text after its opening brace: single colons outside
/// any other bracket.
fn fields(body: &str) -> usize {
    let (mut depth, mut count) = (0_usize, 0);
    let characters: Vec<char> = body.chars().collect();
    for (at, character) in characters.iter().enumerate() {
        match character {
            '}' if depth == 0 => break,
            '{' | '(' | '[' | '<' => depth += 1,
            '>' if at > 0 && characters[at - 1] == '-' => {}
            '}' | ')' | ']' | '>' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => {
                let path =
                    characters.get(at + 1) == Some(&':') || at > 0 && characters[at - 1] == ':';
                count += usize::from(!path);
            }
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests;
