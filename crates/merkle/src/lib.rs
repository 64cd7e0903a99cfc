//! One hash tree over the records of one partition (paper 4.7).

#![no_std]
extern crate alloc;
