#![no_main]

libfuzzer_sys::fuzz_target!(init: portcullis_core_fuzz::sow("fields"), |bytes: &[u8]| portcullis_core_fuzz::fields(bytes));
