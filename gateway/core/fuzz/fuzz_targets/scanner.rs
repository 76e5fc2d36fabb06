#![no_main]

libfuzzer_sys::fuzz_target!(init: portcullis_core_fuzz::sow("scanner"), |bytes: &[u8]| portcullis_core_fuzz::scanner(bytes));
