//! The `daleel` program: argument parsing, output formats, exit codes, progress, and what the verbs write.
//!
//! The work is in the libraries under `parsers/`; a verb is wiring.

#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

pub mod args;
pub mod bridge;
pub mod exit;
pub mod export;
pub mod imaging;
pub mod interrupt;
pub mod output;
pub mod progress;
pub mod session;
pub mod verbs;

use std::{
    io::{Write, stderr},
    process::ExitCode,
};

use clap::Parser;

use args::{Cli, Verb};
use exit::{Exit, classify, system_error};

/// Runs the program on the process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.verb {
        Verb::Devices(verb) => verb.run(),
        Verb::Doctor(verb) => verb.run(),
        Verb::Identify(verb) => verb.run(),
        Verb::Image(verb) => verb.run(),
        Verb::Verify(verb) => verb.run(),
        Verb::List(verb) => verb.run(),
        Verb::Show(verb) => verb.run(),
        Verb::Extract(verb) => verb.run(),
        Verb::Logs(verb) => verb.run(),
        Verb::Bridge(verb) => verb.run(),
        Verb::Demo(verb) => verb.run(),
        Verb::Completions(verb) => verb.run(),
        Verb::Man(verb) => verb.run(),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(error) if is_broken_pipe(&error) => Exit::Success.into(),
        Err(error) => {
            let (exit, hint) = classify(&error);
            // A closed stderr leaves only the exit code.
            let text = format!("{error:#}");
            let lines: Vec<String> = text.lines().map(output::printable).collect();
            let _ = writeln!(stderr(), "error: {}", lines.join("\n"));
            if let Some(hint) = hint {
                let _ = writeln!(stderr(), "hint:  {hint}");
            }
            exit.into()
        }
    }
}

/// True when the reader of stdout went away: `daleel list ... | head` is no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| system_error(cause) == Some(std::io::ErrorKind::BrokenPipe))
}
