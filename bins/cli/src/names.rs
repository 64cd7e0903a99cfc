//! Names of buckets and keys on the command line: any bytes, as they are or with escapes.
//!
//! Invariant: with --escapes, what `keys` and `buckets` print names the same bucket and key.

use std::ffi::{OsStr, OsString};

use clap::Args;
use jedlik_protocol::bucket::check_name;
use jedlik_protocol::escape::{Escaped, unescape};
use jedlik_protocol::{Blob, Key};

use crate::exit::Usage;

/// Form in which buckets and keys are written.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct EscapeArgs {
    /// Names have escapes, as `keys` and `buckets` print them: \\ \n \r \t \xHH
    #[arg(long, short)]
    escapes: bool,
}

/// Name of a bucket on the command line.
#[derive(Debug, Args)]
pub(crate) struct BucketArgs {
    bucket: OsString,
    #[command(flatten)]
    escapes: EscapeArgs,
}

/// Names of a bucket and a key in it on the command line.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    bucket: OsString,
    key: OsString,
    #[command(flatten)]
    escapes: EscapeArgs,
}

impl EscapeArgs {
    /// Returns the bucket's name in an argument, within its limits.
    pub(crate) fn bucket(self, argument: &OsStr) -> anyhow::Result<Blob> {
        let name = Blob::from(self.bytes(argument)?);
        check_name(&name).map_err(|error| Usage(error.to_string()))?;
        Ok(name)
    }

    /// Returns the bytes that an argument stands for.
    pub(crate) fn bytes(self, argument: &OsStr) -> Result<Vec<u8>, Usage> {
        let bytes = argument.as_encoded_bytes();
        if !self.escapes {
            return Ok(bytes.to_vec());
        }
        unescape(bytes).map_err(|error| Usage(format!("{}: {error}", Escaped(bytes))))
    }
}

impl BucketArgs {
    /// Returns the bucket's name, within its limits.
    pub(crate) fn name(&self) -> anyhow::Result<Blob> {
        self.escapes.bucket(&self.bucket)
    }
}

impl KeyArgs {
    /// Returns the key with its bucket, within their limits.
    pub(crate) fn key(&self) -> anyhow::Result<Key> {
        let (bucket, key) = (self.escapes.bytes(&self.bucket)?, self.escapes.bytes(&self.key)?);
        Ok(Key::new(bucket, key).map_err(|error| Usage(error.to_string()))?)
    }
}

/// Returns the remark that a key is absent.
pub(crate) fn absent(key: &Key) -> String {
    format!("jedlik: {} is absent from {}", Escaped(key.key()), Escaped(key.bucket()))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    use super::{EscapeArgs, KeyArgs};
    use crate::exit::Exit;

    fn args(bucket: &[u8], key: &[u8], escapes: bool) -> KeyArgs {
        let word = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        KeyArgs { bucket: word(bucket), key: word(key), escapes: EscapeArgs { escapes } }
    }

    #[test]
    fn names_are_any_bytes_as_they_are_or_with_escapes() {
        let raw = args(b"b\\n", &[0xff, b'\n'], false).key().unwrap();
        assert_eq!((&raw.bucket()[..], &raw.key()[..]), (&b"b\\n"[..], &[0xff, b'\n'][..]));
        let escaped = args(b"b\\n", b"\\xff\\x00\\\\", true).key().unwrap();
        let expected = (&b"b\n"[..], &[0xff, 0, b'\\'][..]);
        assert_eq!((&escaped.bucket()[..], &escaped.key()[..]), expected);
    }

    #[test]
    fn a_wrong_escape_and_an_empty_key_are_usage_errors() {
        for args in [args(b"b", b"a\\q", true), args(b"b", b"", false), args(b"", b"k", false)] {
            assert_eq!(Exit::of(&args.key().unwrap_err()), Exit::Usage, "{args:?}");
        }
    }
}
