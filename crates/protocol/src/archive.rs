//! Archives: the bytes of one value in the layout of `rkyv`, which everything that is encoded is made of.
//!
//! Invariant: this is the one place where bytes become values, and all bytes are validated first. What their layout
//! can't say, such as limits, is checked by the callers.

use bytes::Bytes;
use rkyv::api::high::{HighSerializer, HighValidator, to_bytes_in};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::{Error, Strategy};
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Portable, Serialize};

use crate::blob::Buffer;
use crate::error::DecodeError;

type Reader = Strategy<Buffer, Error>;

/// Encodes a value; equal values have equal bytes.
pub(crate) fn encode<T>(value: &T) -> AlignedVec
where
    T: for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, Error>>,
{
    encode_with_room(value, 0)
}

/// Encodes a value as [`encode`] does, in one allocation if it takes no more than `room_bytes`.
pub(crate) fn encode_with_room<T>(value: &T, room_bytes: usize) -> AlignedVec
where
    T: for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, Error>>,
{
    let bytes = AlignedVec::with_capacity(room_bytes);
    to_bytes_in::<_, Error>(value, bytes).expect("writing into memory can't fail")
}

/// Decodes the output of [`encode`]. Blobs in the value are slices of `bytes`, not copies.
///
/// # Errors
/// The bytes are not laid out as a `T` is; the error calls them `what`.
pub(crate) fn decode<T>(bytes: &Bytes, what: &'static str) -> Result<T, DecodeError>
where
    T: Archive,
    T::Archived: Deserialize<T, Reader> + for<'a> CheckBytes<HighValidator<'a, Error>> + Portable,
{
    let malformed = |_: Error| DecodeError::Malformed { what };
    let archived = rkyv::access::<T::Archived, Error>(bytes).map_err(malformed)?;
    rkyv::api::deserialize_using(archived, &mut Buffer(bytes.clone())).map_err(malformed)
}
