//! Independent programs that judge what Daleel writes.
//!
//! A test that needs one asks for it here and returns early without it. The line that says so is written past the
//! test harness, which would hide it; with `DALEEL_REQUIRE_ORACLES` set, a missing program is a failure.

use std::{
    env,
    io::{self, Write},
    process::{Command, Stdio},
};

/// Set where no oracle may be missing: in continuous integration.
pub const REQUIRE: &str = "DALEEL_REQUIRE_ORACLES";

/// FFmpeg, which decodes and probes what was exported. Gives a command without arguments or standard input.
///
/// # Panics
/// When it is missing and [`REQUIRE`] is set.
pub fn ffmpeg() -> Option<Command> {
    program("ffmpeg", "-version")
}

/// FFprobe, the part of FFmpeg that lists packets and streams; see [`ffmpeg`].
///
/// # Panics
/// When it is missing and [`REQUIRE`] is set.
pub fn ffprobe() -> Option<Command> {
    program("ffprobe", "-version")
}

/// A program of that name which answers to `probe`. Gives a command without arguments or standard input.
///
/// # Panics
/// When it is missing and [`REQUIRE`] is set.
pub fn program(name: &str, probe: &str) -> Option<Command> {
    let status = Command::new(name)
        .arg(probe)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if status.is_ok_and(|status| status.success()) {
        let mut command = Command::new(name);
        command.stdin(Stdio::null());
        return Some(command);
    }
    assert!(env::var_os(REQUIRE).is_none(), "{name} not found, and {REQUIRE} is set");
    // A line that cannot be written is no reason to fail a test that is skipped.
    let _ = writeln!(io::stderr(), "SKIPPED: {name} not found");
    None
}
