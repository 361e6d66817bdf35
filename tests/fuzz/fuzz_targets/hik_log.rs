//! See `daleel_fuzz::fuzzing::hik_log`.
#![no_main]

use daleel_fuzz::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    fuzzing::hik_log(data);
});
