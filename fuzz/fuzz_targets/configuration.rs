//! See the crate's `configuration`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jedlik_fuzz::configuration(bytes));
