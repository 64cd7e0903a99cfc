//! Names: a bucket of one of Riak's bucket types is one bucket of Jedlik.
//!
//! Bucket `B` of type `T` is the bucket `T/B`. The type `default`, which is meant where none is named, has the bucket `B`
//! itself. So a bucket of the default type whose own name has a slash, `a/b`, is bucket `b` of type `a` at the same time,
//! and is listed there.
//!
//! Invariant: [`parts`] takes apart what [`bucket`] has joined, but for such a bucket of the default type.

use jedlik_protocol::Blob;
use thiserror::Error;

/// Type of the buckets for which no type is named.
pub const DEFAULT_TYPE: &[u8] = b"default";

/// Bucket type that can't be part of a bucket's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidType {
    /// The type is empty; name `default`, or none.
    #[error("the bucket type is empty; leave it out, or name `default`")]
    Empty,
    /// The type has a slash, which separates it from the bucket's name; choose another.
    #[error(
        "the bucket type has a slash, which separates a type from a bucket; choose a type without"
    )]
    Slash,
}

/// Bucket type and name of a bucket within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Type of the bucket; `None` for the default type.
    pub bucket_type: Option<&'a [u8]>,
    /// Name within the type.
    pub bucket: &'a [u8],
}

/// Returns the name of the bucket that is `bucket` of `bucket_type`.
///
/// # Errors
/// The type is empty or has a slash. Limits on the name's length are the protocol's to check.
pub fn bucket(bucket_type: Option<&[u8]>, bucket: &[u8]) -> Result<Blob, InvalidType> {
    match bucket_type {
        None | Some(DEFAULT_TYPE) => Ok(bucket.into()),
        Some([]) => Err(InvalidType::Empty),
        Some(bucket_type) if bucket_type.contains(&b'/') => Err(InvalidType::Slash),
        Some(bucket_type) => Ok([bucket_type, b"/", bucket].concat().into()),
    }
}

/// Takes the name of a bucket apart.
#[must_use]
pub fn parts(name: &[u8]) -> Parts<'_> {
    let slash = name.iter().position(|byte| *byte == b'/');
    let parts = slash.map(|at| (&name[..at], &name[at + 1..]));
    match parts {
        // No request could name such a type, or such a bucket.
        Some(([] | DEFAULT_TYPE, _) | (_, [])) | None => Parts { bucket_type: None, bucket: name },
        Some((bucket_type, bucket)) => Parts { bucket_type: Some(bucket_type), bucket },
    }
}

/// Returns the name within `bucket_type` of the bucket called `name`; `None` if it is of another type.
#[must_use]
pub fn within<'a>(name: &'a [u8], bucket_type: Option<&[u8]>) -> Option<&'a [u8]> {
    let parts = parts(name);
    let wanted = bucket_type.filter(|wanted| *wanted != DEFAULT_TYPE);
    (parts.bucket_type == wanted).then_some(parts.bucket)
}

#[cfg(test)]
mod tests {
    use super::{InvalidType, Parts, bucket, parts, within};

    #[test]
    fn a_type_and_a_bucket_are_one_name_and_come_apart_again() {
        for (bucket_type, name, joined) in [
            (None, "carts", "carts"),
            (Some("maps"), "carts", "maps/carts"),
            (Some("maps"), "a/b", "maps/a/b"),
            (None, "/x", "/x"),
            (None, "x/", "x/"),
            (None, "default/x", "default/x"),
        ] {
            let bytes = bucket_type.map(str::as_bytes);
            let made = bucket(bytes, name.as_bytes()).unwrap();
            assert_eq!(&made[..], joined.as_bytes());
            let expected = Parts { bucket_type: bytes, bucket: name.as_bytes() };
            assert_eq!(parts(&made), expected, "{joined}");
        }
    }

    #[test]
    fn the_default_type_is_no_type() {
        assert_eq!(bucket(Some(b"default"), b"carts").unwrap(), bucket(None, b"carts").unwrap());
        assert_eq!(within(b"carts", Some(b"default")), Some(&b"carts"[..]));
        assert_eq!(within(b"carts", None), Some(&b"carts"[..]));
        assert_eq!(within(b"maps/carts", None), None);
        assert_eq!(within(b"maps/carts", Some(b"maps")), Some(&b"carts"[..]));
        assert_eq!(within(b"maps/carts", Some(b"map")), None);
    }

    #[test]
    fn a_type_that_no_name_can_have_is_refused() {
        assert_eq!(bucket(Some(b""), b"carts"), Err(InvalidType::Empty));
        assert_eq!(bucket(Some(b"a/b"), b"carts"), Err(InvalidType::Slash));
    }
}
