#![no_main]

libfuzzer_sys::fuzz_target!(init: portcullis_core_fuzz::sow("config"), |bytes: &[u8]| portcullis_core_fuzz::config(bytes));
