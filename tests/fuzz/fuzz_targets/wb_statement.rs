//! See `daleel_fuzz::fuzzing::wb_statement`.
#![no_main]

use daleel_fuzz::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    fuzzing::wb_statement(data);
});
