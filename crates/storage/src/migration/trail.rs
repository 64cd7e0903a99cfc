//! Trail of a copy: how far it has come, and of what it is a copy.
//!
//! Invariant: the copy holds everything before the trail's place, durably. It may hold more, which is copied again.
//!
//! ```text
//! CRC-32 (4) of the rest
//! generation of the data directory (8)
//! length of the new engine's name (1), and the name
//! place, as in `contents.rs`
//! ```

use std::fs;
use std::io;
use std::path::Path;

use crate::OpenError;
use crate::contents::Place;
use crate::disk::replace_file;
use crate::engine_kind::EngineKind;

const NAME: &str = "migration";

/// Trail of one shard's copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trail {
    pub(super) generation: u64,
    pub(super) to: EngineKind,
    pub(super) place: Place,
}

impl Trail {
    /// Reads the trail in a shard's folder; `None` if there is none that can be read.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        Self::decode(&fs::read(folder.join(NAME)).ok()?)
    }

    /// Writes the trail into a shard's folder, durably.
    pub(super) fn write(&self, folder: &Path) -> Result<(), OpenError> {
        replace_file(folder, NAME, &self.encode())
            .map_err(|error| OpenError::io("writing", &folder.join(NAME), error))
    }

    pub(super) fn remove(folder: &Path) -> Result<(), OpenError> {
        let path = folder.join(NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(OpenError::io("removing", &path, error))
            }
            _ => Ok(()),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let name = self.to.name().as_bytes();
        let body =
            [&self.generation.to_le_bytes()[..], &[name.len() as u8], name, &self.place.encode()]
                .concat();
        [&crc32fast::hash(&body).to_le_bytes(), body.as_slice()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (checksum, body) = bytes.split_first_chunk::<4>()?;
        if crc32fast::hash(body).to_le_bytes() != *checksum {
            return None;
        }
        let (generation, rest) = body.split_first_chunk()?;
        let (&length, rest) = rest.split_first()?;
        let (name, place) = rest.split_at_checked(length.into())?;
        Some(Self {
            generation: u64::from_le_bytes(*generation),
            to: EngineKind::named(str::from_utf8(name).ok()?)?,
            place: Place::decode(place)?,
        })
    }
}
