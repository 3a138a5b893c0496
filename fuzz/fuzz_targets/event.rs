//! Fuzzes [`whoelse_fuzz_targets::event`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| whoelse_fuzz_targets::event::run(data));
