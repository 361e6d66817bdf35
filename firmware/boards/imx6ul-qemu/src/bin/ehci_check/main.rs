//! The host driver's own test: talks to a disk of QEMU through `HostController` alone and prints what it found.
//!
//! The scenario is a word given by semihosting (`arg=`), `read` without one. Lines are read by the integration test of the emulated board:
//! `NAME value...`. Exit code 0: the scenario went to its end.
//!
//! - `read`: enumeration, a request that the disk stalls, commands, a cut chain, and all blocks in pieces of many lengths;
//! - `errors`: all blocks in small pieces, each failing one again block by block;
//! - `empty`: nothing is attached;
//! - `replug`: reads until the disk is taken away, waits for the next one, reads that;
//! - `slow`: a disk that takes longer than the time-outs: cancel, time-out, recovery, then the same data as ever.
#![no_std]
#![no_main]

mod disk;
mod scenarios;

use imx6ul_qemu::{entry, say, semihosting};

type Scenario = (&'static str, fn() -> Result<(), disk::Failure>);

const DEFAULT: Scenario = ("read", scenarios::read);
const SCENARIOS: [Scenario; 5] = [
    DEFAULT,
    ("errors", scenarios::errors),
    ("empty", scenarios::empty),
    ("replug", scenarios::replug),
    ("slow", scenarios::slow),
];

entry!(main);

fn main() -> ! {
    let mut room = [0; 256];
    let words = semihosting::command_line(&mut room);
    let is_given = |name: &str| words.split_ascii_whitespace().any(|word| word == name);
    let (scenario, run) = SCENARIOS.into_iter().find(|(name, _)| is_given(name)).unwrap_or(DEFAULT);
    let outcome = run();
    match outcome {
        Ok(()) => {
            say!("END {scenario}");
            semihosting::exit(0)
        }
        Err(failure) => {
            say!("FAILED {failure:?}");
            semihosting::exit(4)
        }
    }
}
