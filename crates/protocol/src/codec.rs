//! Frames as bytes, and a node's knowledge of the cluster: validated, within limits, without copying what is large.
//!
//! Only the layout of frames differs from one version of the protocol to another. What a frame carries in encoded
//! form, such as records and clocks, is compared byte by byte between nodes, so its bytes are the same in all
//! versions.

mod length;
mod seal;

use alloc::vec::Vec;

use bytes::Bytes;
use rkyv::api::high::to_bytes_in;
use rkyv::rancor::Error;
use rkyv::util::AlignedVec;

use self::length::Length;
use self::seal::{SEAL_BYTES, seal, unseal};
use crate::error::DecodeError;
pub use crate::frame::Frame;
use crate::gossip::Delta;
use crate::limits::FRAME_LIMIT_BYTES;
use crate::{ProtocolVersion, archive, check};

/// The oldest version of the protocol that this build speaks.
pub const PROTOCOL_MIN: u16 = ProtocolVersion::OLDEST.number();
/// The newest version of the protocol that this build speaks.
pub const PROTOCOL_MAX: u16 = ProtocolVersion::NEWEST.number();

/// Room for a frame that carries a record of 1 KiB, in bytes. Such frames and smaller ones are most, and are copied into
/// what a connection sends.
const USUAL_FRAME_BYTES: usize = 2 << 10;

impl Frame {
    /// Encodes the frame for a connection of that version, without a length prefix.
    #[must_use]
    pub fn encode(&self, version: ProtocolVersion) -> AlignedVec {
        let mut bytes = archive::encode_with_room(self, USUAL_FRAME_BYTES);
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
        let frame: Self = archive::decode(bytes, "frame")?;
        check::frame(&frame)?;
        Ok(frame)
    }
}

/// Encodes a node's knowledge of the cluster for its disk. The layout is that of [`Delta`] alone, so that it doesn't
/// change with the messages.
#[must_use]
pub fn encode_knowledge(delta: &Delta) -> Vec<u8> {
    archive::encode(delta).into_vec()
}

/// Decodes the output of [`encode_knowledge`].
///
/// # Errors
/// The bytes are not such an output, or their contents are outside the limits.
pub fn decode_knowledge(bytes: &Bytes) -> Result<Delta, DecodeError> {
    let delta: Delta = archive::decode(bytes, "knowledge of the cluster")?;
    check::news(&delta)?;
    Ok(delta)
}

#[cfg(test)]
mod tests;
