//! See `daleel_fuzz::fuzzing::ewf`.
#![no_main]

use daleel_fuzz::fuzzing;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| {
    fuzzing::ewf(data);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    if seed.is_multiple_of(2) {
        fuzzing::mend_ewf(&mut data[..size]);
    }
    size
});
