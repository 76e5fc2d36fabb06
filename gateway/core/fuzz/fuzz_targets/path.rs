#![no_main]

libfuzzer_sys::fuzz_target!(init: portcullis_core_fuzz::sow("path"), |bytes: &[u8]| portcullis_core_fuzz::path(bytes));
