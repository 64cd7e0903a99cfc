//! Buckets and keys in Riak's paths.
//!
//! Invariant: a path that is made for a key leads to that key again.

use axum::http::{HeaderValue, Uri};
use jedlik_protocol::bucket::check_name;
use jedlik_protocol::{Blob, Key};
use jedlik_riak::names;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::riak::refusal::Refusal;

/// Bytes of a name that are encoded in a path.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Form of a path, as its first segment tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// The oldest one, `/riak/B/K`.
    Riak,
    /// The usual one, `/buckets/B/keys/K`.
    Buckets,
    /// One with a bucket type, `/types/T/buckets/B/keys/K`.
    Types(Vec<u8>),
}

/// Bucket that a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    form: Form,
    bucket: Vec<u8>,
    key: Vec<u8>,
}

impl Address {
    /// Reads a path that one of the routes has matched; segments that it lacks are empty.
    pub(crate) fn of(uri: &Uri) -> Self {
        let mut segments = uri.path().split('/').skip(1).map(unquote);
        let mut next = || segments.next().unwrap_or_default();
        match &next()[..] {
            b"riak" => Self { form: Form::Riak, bucket: next(), key: next() },
            b"types" => {
                let (bucket_type, _) = (next(), next());
                let (bucket, _) = (next(), next());
                Self { form: Form::Types(bucket_type), bucket, key: next() }
            }
            _ => {
                let (bucket, _) = (next(), next());
                Self { form: Form::Buckets, bucket, key: next() }
            }
        }
    }

    /// Returns the bucket type that is named; `None` for the default one.
    pub(crate) fn bucket_type(&self) -> Option<&[u8]> {
        match &self.form {
            Form::Types(bucket_type) => Some(bucket_type),
            Form::Riak | Form::Buckets => None,
        }
    }

    /// Returns the bucket's name within its type.
    pub(crate) fn name_in_type(&self) -> &[u8] {
        &self.bucket
    }

    /// Returns Jedlik's name of the bucket.
    ///
    /// # Errors
    /// The type or the name can't be one.
    pub(crate) fn bucket(&self) -> Result<Blob, Refusal> {
        let name = names::bucket(self.bucket_type(), &self.bucket);
        let name = name.map_err(|error| Refusal::invalid(error.to_string()))?;
        check_name(&name).map_err(|error| Refusal::invalid(error.to_string()))?;
        Ok(name)
    }

    /// Returns the key that the path leads to.
    ///
    /// # Errors
    /// The type, the bucket's name or the key can't be one.
    pub(crate) fn key(&self) -> Result<Key, Refusal> {
        let key = Key::new(self.bucket()?, &self.key[..]);
        key.map_err(|error| Refusal::invalid(error.to_string()))
    }

    /// Returns the address of another key in the same bucket.
    pub(crate) fn with_key(self, key: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), ..self }
    }

    /// Returns the path of the key, in the form of the path that was read.
    pub(crate) fn location(&self) -> HeaderValue {
        let (bucket, key) = (quote(&self.bucket), quote(&self.key));
        let path = match &self.form {
            Form::Riak => format!("/riak/{bucket}/{key}"),
            Form::Buckets => format!("/buckets/{bucket}/keys/{key}"),
            Form::Types(bucket_type) => {
                format!("/types/{}/buckets/{bucket}/keys/{key}", quote(bucket_type))
            }
        };
        HeaderValue::try_from(path).expect("an encoded path has visible characters only")
    }

    /// Returns the path of a key that a link leads to, which names no type.
    pub(crate) fn link(&self, bucket: &[u8], key: &[u8]) -> String {
        let (bucket, key) = (quote(bucket), quote(key));
        match self.form {
            Form::Riak => format!("/riak/{bucket}/{key}"),
            Form::Buckets | Form::Types(_) => format!("/buckets/{bucket}/keys/{key}"),
        }
    }

    /// Returns the path of the bucket.
    pub(crate) fn up(&self) -> String {
        let bucket = quote(&self.bucket);
        match &self.form {
            Form::Riak => format!("/riak/{bucket}"),
            Form::Buckets => format!("/buckets/{bucket}"),
            Form::Types(bucket_type) => format!("/types/{}/buckets/{bucket}", quote(bucket_type)),
        }
    }
}

/// Encodes a name for a path.
pub(crate) fn quote(name: &[u8]) -> String {
    percent_encode(name, ENCODED).to_string()
}

/// Decodes a name in a path, in which `+` is a space.
pub(crate) fn unquote(text: &str) -> Vec<u8> {
    percent_decode_str(&text.replace('+', " ")).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;
    use jedlik_protocol::Key;

    use super::Address;

    fn address(path: &str) -> Address {
        Address::of(&path.parse::<Uri>().unwrap())
    }

    #[test]
    fn paths_of_all_forms_lead_to_keys_and_back() {
        for (path, bucket, key) in [
            ("/buckets/carts/keys/alice", "carts", "alice"),
            ("/riak/carts/alice", "carts", "alice"),
            ("/types/maps/buckets/carts/keys/alice", "maps/carts", "alice"),
            ("/types/default/buckets/carts/keys/alice", "carts", "alice"),
            ("/buckets/a%2Fb/keys/100%25", "a/b", "100%"),
            ("/types/t/buckets/a%20b/keys/%7Bx~y%7D", "t/a b", "{x~y}"),
        ] {
            let address = address(path);
            assert_eq!(address.key().unwrap(), Key::new(bucket, key).unwrap(), "{path}");
            assert_eq!(address.location().to_str().unwrap(), path);
        }
        let spaced = address("/buckets/a+b/keys/c+d?r=1").key().unwrap();
        assert_eq!(spaced, Key::new("a b", "c d").unwrap());
    }

    #[test]
    fn links_and_the_bucket_itself_have_paths_of_the_same_form() {
        for (path, link, up) in [
            ("/riak/carts/a", "/riak/b%2F/k", "/riak/carts"),
            ("/buckets/carts/keys/a", "/buckets/b%2F/keys/k", "/buckets/carts"),
            ("/types/t/buckets/carts/keys/a", "/buckets/b%2F/keys/k", "/types/t/buckets/carts"),
        ] {
            assert_eq!(address(path).link(b"b/", b"k"), link);
            assert_eq!(address(path).up(), up);
        }
    }

    #[test]
    fn what_no_key_can_be_is_refused() {
        for path in ["/buckets/carts/keys", "/buckets//keys/a", "/types/a%2Fb/buckets/c/keys/d"] {
            assert!(address(path).key().is_err(), "{path}");
        }
        let long = format!("/buckets/{}/keys/a", "b".repeat(300));
        assert!(address(&long).bucket().is_err());
    }
}
