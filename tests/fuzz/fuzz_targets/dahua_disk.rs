//! See `daleel_fuzz::fuzzing::disk`.
#![no_main]

use daleel_fuzz::fuzzing::{self, mend};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| {
    fuzzing::disk(data);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mutate = |part: &mut [u8], used| {
        let room = part.len().min(max_size);
        fuzzer_mutate(part, used, room)
    };
    mend::sectors(data, size, seed, mutate, mend::dhav)
});
