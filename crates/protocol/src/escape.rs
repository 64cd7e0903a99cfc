//! Bytes as people read and type them: a bucket or a key in a line of text, and back.
//!
//! Invariant: [`unescape`] of what [`Escaped`] shows gives the same bytes; neither [`Escaped`] nor
//! [`Printable`] ever shows a control character of its argument.

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use thiserror::Error;

/// Bytes shown on one line: text as it is, with `\\`, `\n`, `\r`, `\t` and `\xHH` for a backslash, for control
/// characters and for what is not UTF-8.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

/// Text of several lines whose control characters, except line feeds, are shown as escapes, so that it can't steer
/// a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(pub &'a str);

/// A backslash in a text that begins no escape.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the backslash at byte {at} begins none of \\\\, \\n, \\r, \\t and \\xHH with two hex digits"
)]
pub struct InvalidEscape {
    /// Index of the backslash in the text, in bytes.
    pub at: usize,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    c => write_char(f, c)?,
                }
            }
            write_bytes(f, chunk.invalid())?;
        }
        Ok(())
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| if c == '\n' { f.write_char(c) } else { write_char(f, c) })
    }
}

fn write_char(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        c if c.is_control() => write_bytes(f, c.encode_utf8(&mut [0; 4]).as_bytes()),
        c => f.write_char(c),
    }
}

fn write_bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
}

/// Decodes the bytes that a text with escapes stands for.
///
/// # Errors
/// A backslash begins no escape; a literal backslash is written as two.
pub fn unescape(text: &[u8]) -> Result<Vec<u8>, InvalidEscape> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let (stands_for, length) = if byte == b'\\' {
            escape(&text[at + 1..]).ok_or(InvalidEscape { at })?
        } else {
            (byte, 1)
        };
        bytes.push(stands_for);
        at += length;
    }
    Ok(bytes)
}

/// Decodes one escape from the bytes after its backslash. Returns the byte and the length, backslash included.
fn escape(rest: &[u8]) -> Option<(u8, usize)> {
    match *rest.first()? {
        b'\\' => Some((b'\\', 2)),
        b'n' => Some((b'\n', 2)),
        b'r' => Some((b'\r', 2)),
        b't' => Some((b'\t', 2)),
        b'x' => {
            let digit = |at: usize| char::from(*rest.get(at)?).to_digit(16);
            Some((u8::try_from(digit(1)? * 16 + digit(2)?).ok()?, 4))
        }
        _ => None,
    }
}
