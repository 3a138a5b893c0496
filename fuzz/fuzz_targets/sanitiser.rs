//! Fuzzes [`whoelse_fuzz_targets::sanitiser`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whoelse_fuzz_targets::sanitiser::run(data));
