//! The storage crate's journal frames, which are private to it.

#[path = "../../crates/storage/src/journal/bodies.rs"]
pub(crate) mod bodies;
#[path = "../../crates/storage/src/journal/frame.rs"]
mod frame;
