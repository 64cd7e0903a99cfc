//! Hints for nodes that are away, and how they are handed over (paper 4.6).

#![no_std]
extern crate alloc;
