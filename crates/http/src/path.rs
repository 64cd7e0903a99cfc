//! Names in paths: any bytes, percent-encoded.
//!
//! Invariant: a path is cut at its slashes before it is decoded, so a name may hold an encoded slash.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Returns the segment of a path with this number, decoded; the first one is 0. `None` if there is none.
pub(crate) fn segment(path: &str, number: usize) -> Option<Cow<'_, [u8]>> {
    let segment = path.strip_prefix('/')?.split('/').nth(number)?;
    Some(percent_decode_str(segment).into())
}

#[cfg(test)]
mod tests {
    use super::segment;

    #[test]
    fn names_are_any_bytes_and_an_encoded_slash_is_part_of_a_name() {
        for (path, number, expected) in [
            ("/v1/buckets/carts/keys/alice", 2, Some(&b"carts"[..])),
            ("/v1/buckets/carts/keys/a%2Fb%20c", 4, Some(b"a/b c")),
            ("/v1/buckets/%ff%00/keys/a", 2, Some(b"\xff\x00")),
            ("/v1/buckets/a+b/keys/100%", 2, Some(b"a+b")),
            ("/v1/buckets/a+b/keys/100%", 4, Some(b"100%")),
            ("/v1/buckets", 2, None),
            ("", 0, None),
        ] {
            assert_eq!(segment(path, number).as_deref(), expected, "{path}");
        }
    }
}
