//! See the crate's `riak_pb`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jedlik_fuzz::riak_pb(bytes));
