//! Earlier copy of a shard that was set aside, read for those of its records that others still hold.
//!
//! Invariant: the copy stays as it is, and gives no record but the very one that is asked for: anything else in it may
//! have been deleted since.

use std::fmt;
use std::mem;
use std::path::Path;

use jedlik_protocol::{Digest, EncodedRecord, PlacedKey};
use tracing::warn;

use crate::engine_kind::EngineKind;
use crate::guarded::guarded;
use crate::{OpenError, Store};

const CACHE_BYTES: usize = 4 << 20;
/// Size at which an answer ends, in bytes, with the record that reaches it.
const ANSWER_BYTES: usize = 2 << 20;

/// Engine of an earlier copy, opened to be read. The copy's journal is not searched: it holds only the last changes
/// that the copy took.
pub struct EarlierCopy {
    /// Engine of the copy; `None` once it was found damaged.
    engine: Option<Box<dyn Store>>,
}

impl EarlierCopy {
    /// Opens the engine that lies in the folder of a shard.
    ///
    /// # Errors
    /// The folder holds no engine, or one that can't be read.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let kind = EngineKind::found_in(folder).unwrap_or(EngineKind::Redb);
        let path = folder.join(kind.file_name());
        let engine = guarded(|| kind.open_unchanged(&path, folder, CACHE_BYTES))
            .unwrap_or_else(|what| Err(OpenError::EngineDamaged { path: path.clone(), what }))?;
        Ok(Self { engine: Some(engine) })
    }

    /// Returns how many of `wanted` were looked up, from the first on, and the records among them that the copy holds
    /// with exactly that digest. What does not fit into one answer is left for the next call. A record that can't be
    /// read counts as absent.
    pub fn find(
        &mut self,
        wanted: &[(PlacedKey, Digest)],
    ) -> (usize, Vec<(PlacedKey, EncodedRecord)>) {
        let (mut found, mut bytes) = (Vec::new(), 0);
        for (index, (key, digest)) in wanted.iter().enumerate() {
            if let Some(record) = self.load(key).filter(|record| record.digest() == *digest) {
                bytes += record.bytes().len();
                found.push((key.clone(), record));
            }
            if bytes >= ANSWER_BYTES {
                return (index + 1, found);
            }
        }
        (wanted.len(), found)
    }

    fn load(&mut self, key: &PlacedKey) -> Option<EncodedRecord> {
        let engine = self.engine.as_ref()?;
        match guarded(|| engine.load(key)) {
            Ok(loaded) => loaded.ok().flatten().map(|stored| stored.record),
            Err(what) => {
                warn!(what, "the earlier copy is damaged and is not asked again");
                // Closing it would be one more thing to go wrong.
                mem::forget(self.engine.take());
                None
            }
        }
    }
}

impl fmt::Debug for EarlierCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_read = self.engine.is_some();
        f.debug_struct("EarlierCopy").field("is_read", &is_read).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
