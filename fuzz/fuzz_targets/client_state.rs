//! Fuzzes [`whoelse_fuzz_targets::client_state`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whoelse_fuzz_targets::client_state::run(data));
