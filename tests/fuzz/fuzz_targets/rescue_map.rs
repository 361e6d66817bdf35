//! See `daleel_fuzz::fuzzing::rescue_map`.
#![no_main]

use daleel_fuzz::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    fuzzing::rescue_map(data);
});
