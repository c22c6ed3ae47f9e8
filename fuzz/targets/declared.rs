//! What libFuzzer runs for this target; its body is in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| slipway_fuzz::declared::run(bytes));
