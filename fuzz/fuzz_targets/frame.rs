//! See the crate's `frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jedlik_fuzz::frame(bytes));
