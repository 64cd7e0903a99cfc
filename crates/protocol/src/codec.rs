//! The only place where bytes become values: validated, within limits, without copying what is large.
//!
//! Only the layout of frames differs from one version of the protocol to another. What a frame carries in encoded
//! form, such as records and clocks, is compared byte by byte between nodes, so its bytes are the same in all
//! versions.

#![expect(missing_docs, reason = "the derived resolvers of enums with fields have none")]

mod length;
mod record;
mod seal;

use alloc::vec::Vec;

use bytes::Bytes;
use jedlik_vclock::VectorClock;
use rkyv::api::high::{HighSerializer, to_bytes_in};
use rkyv::rancor::{Error, Strategy};
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};

use self::length::Length;
pub(crate) use self::record::{decode_record, encode_record};
use self::seal::{SEAL_BYTES, seal, unseal};
use crate::blob::Buffer;
use crate::bucket::BucketProps;
use crate::client::{ClientRequest, ClientResponse};
use crate::error::DecodeError;
use crate::gossip::{Delta, Gossip, Staging};
use crate::limits::FRAME_LIMIT_BYTES;
use crate::peer::{PeerRequest, PeerResponse};
use crate::{Blob, Layout, LayoutVersion, ProtocolVersion, Stamp, Terms, check};

/// The oldest version of the protocol that this build speaks.
pub const PROTOCOL_MIN: u16 = ProtocolVersion::OLDEST.number();
/// The newest version of the protocol that this build speaks.
pub const PROTOCOL_MAX: u16 = ProtocolVersion::NEWEST.number();

/// Unit of transmission: everything that crosses a connection is a frame.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Frame {
    /// Request of a client or an admin to a node.
    ClientRequest {
        /// Identifier that the client gives the request; its answer carries it, too.
        id: u64,
        /// Request to the node.
        request: ClientRequest,
    },
    /// Answer of a node to a client or an admin.
    ClientResponse {
        /// Identifier of the request that is answered.
        id: u64,
        /// Version of the answering node's layout, by which a client learns that its own is stale.
        layout: LayoutVersion,
        /// Answer to the request.
        response: ClientResponse,
    },
    /// Request of one node to another, such as a coordinator's to a replica.
    PeerRequest {
        /// Identifier that the asking node gives the request; its answer carries it, too.
        id: u64,
        /// Terms of the request: the asker's life and layouts, and the receiver's clock.
        terms: Terms,
        /// Request to the other node.
        request: PeerRequest,
    },
    /// Answer of one node to another, such as a replica's to a coordinator.
    PeerResponse {
        /// Identifier of the request that is answered.
        id: u64,
        /// Life and clock of the answering node.
        stamp: Stamp,
        /// Answer to the request.
        response: PeerResponse,
    },
    /// Message between members, of gossip or of the failure detector.
    Gossip(Gossip),
    /// Announcement to a client that a large answer is ready and on its way, behind others.
    Coming {
        /// Identifier of the request that is being answered.
        id: u64,
        /// Length of the frame with the answer, in bytes.
        bytes: u64,
    },
    /// Notice from a client that it no longer waits for an answer.
    Withdraw {
        /// Identifier of the request whose answer is not wanted.
        id: u64,
    },
}

impl Frame {
    /// Encodes the frame for a connection of that version, without a length prefix.
    #[must_use]
    pub fn encode(&self, version: ProtocolVersion) -> AlignedVec {
        let mut bytes = to_bytes(self);
        match version {
            ProtocolVersion::V5 => {}
            ProtocolVersion::V6 => seal(&mut bytes),
        }
        bytes
    }

    /// Returns the length of what [`Self::encode`] makes, without making it.
    #[must_use]
    pub fn encoded_length(&self, version: ProtocolVersion) -> usize {
        let length = to_bytes_in::<_, Error>(self, Length::default()).expect("counting can't fail");
        match version {
            ProtocolVersion::V5 => length.bytes,
            ProtocolVersion::V6 => length.bytes + SEAL_BYTES,
        }
    }

    /// Decodes a frame that a peer sent over a connection of that version. Keys, values and records are slices of
    /// `bytes`, not copies.
    ///
    /// # Errors
    /// The bytes are too many or not a frame of that version, or their contents are outside the limits.
    pub fn decode(bytes: &Bytes, version: ProtocolVersion) -> Result<Self, DecodeError> {
        if bytes.len() > FRAME_LIMIT_BYTES {
            return Err(DecodeError::TooLong { length: bytes.len(), limit: FRAME_LIMIT_BYTES });
        }
        match version {
            ProtocolVersion::V5 => Self::decode_plain(bytes),
            ProtocolVersion::V6 => {
                let plain = unseal(bytes).ok_or(DecodeError::Malformed { what: "sealed frame" })?;
                Self::decode_plain(&plain)
            }
        }
    }

    fn decode_plain(bytes: &Bytes) -> Result<Self, DecodeError> {
        let malformed = |_: Error| DecodeError::Malformed { what: "frame" };
        let archived = rkyv::access::<ArchivedFrame, Error>(bytes).map_err(malformed)?;
        let frame: Self = from_archived(archived, bytes).map_err(malformed)?;
        check::frame(&frame)?;
        Ok(frame)
    }
}

/// Encodes a node's knowledge of the cluster for its disk. The layout is that of [`Delta`] alone, so that it doesn't
/// change with the messages.
#[must_use]
pub fn encode_knowledge(delta: &Delta) -> Vec<u8> {
    to_bytes(delta).into_vec()
}

/// Decodes the output of [`encode_knowledge`].
///
/// # Errors
/// The bytes are not such an output, or their contents are outside the limits.
pub fn decode_knowledge(bytes: &Bytes) -> Result<Delta, DecodeError> {
    let malformed = |_: Error| DecodeError::Malformed { what: "knowledge of the cluster" };
    let archived = rkyv::access::<rkyv::Archived<Delta>, Error>(bytes).map_err(malformed)?;
    let delta: Delta = from_archived(archived, bytes).map_err(malformed)?;
    check::news(&delta)?;
    Ok(delta)
}

type Reader = Strategy<Buffer, Error>;

fn from_archived<T>(archived: &T::Archived, buffer: &Bytes) -> Result<T, Error>
where
    T: Archive,
    T::Archived: Deserialize<T, Reader>,
{
    rkyv::api::deserialize_using(archived, &mut Buffer(buffer.clone()))
}

fn to_bytes<T>(value: &T) -> AlignedVec
where
    T: for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, Error>>,
{
    rkyv::to_bytes::<Error>(value).expect("writing into memory can't fail")
}

pub(crate) fn encode_clock(clock: &VectorClock) -> Vec<u8> {
    to_bytes(clock).into_vec()
}

pub(crate) fn decode_clock(bytes: &Blob) -> Result<VectorClock, DecodeError> {
    let malformed = |_: Error| DecodeError::Malformed { what: "clock" };
    let archived = rkyv::access::<rkyv::Archived<VectorClock>, Error>(bytes).map_err(malformed)?;
    let clock: VectorClock = from_archived(archived, bytes.bytes()).map_err(malformed)?;
    if clock.is_well_formed() { Ok(clock) } else { Err(DecodeError::Malformed { what: "clock" }) }
}

pub(crate) fn encode_layout(layout: &Layout) -> Vec<u8> {
    to_bytes(layout).into_vec()
}

pub(crate) fn encode_staging(staging: &Staging) -> Vec<u8> {
    to_bytes(staging).into_vec()
}

pub(crate) fn encode_props(props: &BucketProps) -> Vec<u8> {
    to_bytes(props).into_vec()
}

/// Decodes what a test has laid out by hand, without any check but that of the layout.
#[cfg(test)]
pub(crate) fn decode_unchecked<T>(bytes: &Bytes) -> T
where
    T: Archive,
    T::Archived: Deserialize<T, Reader>
        + for<'a> rkyv::bytecheck::CheckBytes<rkyv::api::high::HighValidator<'a, Error>>
        + rkyv::Portable,
{
    let archived = rkyv::access::<T::Archived, Error>(bytes).expect("it is laid out as a T is");
    from_archived(archived, bytes).expect("it is laid out as a T is")
}

#[cfg(test)]
mod tests;
