#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| st_secrets::fuzzing::credential_file(data));
