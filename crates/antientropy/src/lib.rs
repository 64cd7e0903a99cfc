//! One Merkle exchange between two replicas as a state machine (paper 4.7).

#![no_std]
extern crate alloc;
