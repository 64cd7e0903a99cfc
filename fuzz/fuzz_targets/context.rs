//! See the crate's `context`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jedlik_fuzz::context(bytes));
