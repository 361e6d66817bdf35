//! How `daleel` ends: exit codes and failures with a hint (U-4).

use std::{fmt, process::ExitCode};

/// The documented exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, nothing to report.
    Success = 0,
    /// Done, with findings: holes, damaged structures or frames, things that are not carried.
    Findings = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Nothing in the source is of a known format.
    Unsupported = 3,
    /// The source or the output cannot be opened, read or written, or is refused.
    Input = 4,
    /// What was to be proven is not: a signature, a digest or a log does not fit.
    Verification = 5,
    /// The source changed or was lost while it was read.
    SourceLost = 6,
    /// Interrupted; what is done is kept and `--resume` goes on.
    Interrupted = 7,
    /// A fault of this program.
    Internal = 70,
}

/// The table shown in `--help` and the manual.
pub const EXIT_CODES_HELP: &str = "\
Exit codes:
  0   done, nothing to report
  1   done, with findings (holes, damaged structures or frames, things not carried)
  2   the command line is wrong
  3   nothing in the source is of a known format
  4   source or output cannot be opened, read or written, or is refused
  5   verification failed
  6   the source changed or was lost
  7   interrupted; resumable with --resume
  70  a fault of this program";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not be carried out, and what helps.
#[derive(Debug)]
pub struct Failure {
    /// Exit code.
    pub exit: Exit,
    /// One sentence.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), hint: None }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

/// The operating system's error in one link of an error chain, also where a writer of JSON or CSV has wrapped it.
pub fn system_error(cause: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
    if let Some(error) = cause.downcast_ref::<std::io::Error>() {
        return Some(error.kind());
    }
    if let Some(error) = cause.downcast_ref::<serde_json::Error>() {
        return error.io_error_kind();
    }
    match cause.downcast_ref::<csv::Error>().map(csv::Error::kind) {
        Some(csv::ErrorKind::Io(error)) => Some(error.kind()),
        _ => None,
    }
}

/// The exit code and hint of an error: those of a [`Failure`] in its chain, otherwise input for system errors.
pub fn classify(error: &anyhow::Error) -> (Exit, Option<String>) {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return (failure.exit, failure.hint.clone());
        }
        if system_error(cause).is_some()
            || cause.downcast_ref::<daleel_image::OpenError>().is_some()
            || cause.downcast_ref::<daleel_core::FormatError>().is_some()
        {
            return (Exit::Input, None);
        }
    }
    (Exit::Internal, None)
}
