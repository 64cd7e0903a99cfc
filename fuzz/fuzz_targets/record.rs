//! See the crate's `record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jedlik_fuzz::record(bytes));
