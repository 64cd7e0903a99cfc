//! Length of an encoded value, computed without writing the bytes.

use rkyv::ser::{Positional, Writer};

/// A writer that counts bytes and keeps none.
#[derive(Debug, Default)]
pub(super) struct Length {
    pub(super) bytes: usize,
}

impl Positional for Length {
    fn pos(&self) -> usize {
        self.bytes
    }
}

impl<E> Writer<E> for Length {
    fn write(&mut self, bytes: &[u8]) -> Result<(), E> {
        self.bytes += bytes.len();
        Ok(())
    }
}
