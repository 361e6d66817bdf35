//! The program `daleel`, built beside the tests that run it: cargo shows a test the binaries of its own package only.

use std::process::ExitCode;

fn main() -> ExitCode {
    daleel::main()
}
