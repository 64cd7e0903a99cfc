//! See the crate's `journal_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jedlik_fuzz::journal_frame(bytes));
