//! Frames in every version of the protocol.
