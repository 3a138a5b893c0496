//! Fuzzes [`whoelse_fuzz_targets::invite_link`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whoelse_fuzz_targets::invite_link::run(data));
