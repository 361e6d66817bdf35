//! See `daleel_fuzz::fuzzing::wb_cdb`.
#![no_main]

use daleel_fuzz::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    fuzzing::wb_cdb(data);
});
