//! See `daleel_fuzz::fuzzing::hikvision_stream`.
#![no_main]

use daleel_fuzz::fuzzing::{self, mend};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| {
    fuzzing::hikvision_stream(data);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    if seed.is_multiple_of(2) {
        mend::packets(&mut data[..size]);
    }
    size
});
