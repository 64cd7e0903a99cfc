//! How long a value's bytes would be, counted without writing them.

use rkyv::ser::{Positional, Writer};

/// A writer that keeps nothing.
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
