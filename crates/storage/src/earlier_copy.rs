//! An earlier copy of a shard that lies aside, read for what of it others still hold.
//!
//! Invariant: the copy stays as it is, and gives no record but the very one that is asked for: what else it holds may
//! have been deleted since.

use std::mem;
use std::path::Path;

use jedlik_protocol::{Digest, EncodedRecord, PlacedKey};
use tracing::warn;

use crate::folder::ENGINE;
use crate::guarded::guarded;
use crate::{OpenError, RedbOptions, RedbStore, Store};

const CACHE_BYTES: usize = 4 << 20;
/// An answer ends with the record that takes it past this size.
const ANSWER_BYTES: usize = 2 << 20;

/// What the engine of the copy holds. What its journal alone holds is not looked for: it was the last that the copy took.
#[derive(Debug)]
pub struct EarlierCopy {
    /// `None` once it was found damaged.
    engine: Option<RedbStore>,
}

impl EarlierCopy {
    /// Opens what lies in a shard's folder.
    ///
    /// # Errors
    /// There is no engine in it, or one that can't be read.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let path = folder.join(ENGINE);
        let options = RedbOptions { cache_bytes: CACHE_BYTES, ..RedbOptions::default() };
        let engine = guarded(|| RedbStore::open_unchanged(&path, &options))
            .unwrap_or_else(|what| Err(OpenError::EngineDamaged { path: path.clone(), what }))?;
        Ok(Self { engine: Some(engine) })
    }

    /// Those of `wanted` that the copy holds just so, from the first on, and for how many it was looked: what does not fit
    /// into one answer is for the next. What can't be read is as good as not there.
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

#[cfg(test)]
mod tests;
