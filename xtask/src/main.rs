//! `cargo xtask`: one entry for the tasks of this repository, the same on every platform.

mod firmware;
mod fuzz;

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Tasks of this repository")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Formatting, lints and tests: what a change has to pass
    Check,
    /// Fuzz one target, or each of them in turn; needs cargo-fuzz and a nightly compiler
    Fuzz {
        /// Name of a target in tests/fuzz
        target: Option<String>,
        /// Time for each target
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u32,
    },
    /// Build the images of the write blocker's boards into target/firmware, and check them
    Firmware {
        /// Only this board: pico, teensy41, mimxrt1060-evk, imx6ul-qemu
        #[arg(long, value_name = "NAME", conflicts_with_all = ["run", "reproduce"])]
        board: Option<String>,
        /// Then let a real Linux in an emulator try to write through them, and show how it fails
        #[arg(long)]
        run: bool,
        /// Build everything twice and compare
        #[arg(long, conflicts_with = "run")]
        reproduce: bool,
    },
    /// Measure throughput and memory with an optimised build
    Bench {
        /// Arguments of the benchmark
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Check => check(),
        Task::Fuzz { target, seconds } => fuzz::run(target.as_deref(), seconds),
        Task::Firmware { run: true, .. } => firmware::run(),
        Task::Firmware { reproduce: true, .. } => firmware::reproduce(),
        Task::Firmware { board, .. } => firmware::build(board.as_deref()),
        Task::Bench { arguments } => bench(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn check() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    cargo(&["test", "--workspace"])
}

fn bench(arguments: &[String]) -> Result<()> {
    let mut command = vec!["bench", "--package", "daleel-tests", "--bench", "peers", "--"];
    command.extend(arguments.iter().map(String::as_str));
    cargo(&command)
}

/// Runs cargo in the root of the repository and shows what it runs.
fn cargo(arguments: &[&str]) -> Result<()> {
    say(&format!("cargo {}", arguments.join(" ")));
    let status = Command::new("cargo")
        .args(arguments)
        .current_dir(root())
        .status()
        .context("cargo cannot be started")?;
    ensure!(status.success(), "cargo {} failed", arguments.join(" "));
    Ok(())
}

/// The root of the repository.
fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

#[allow(clippy::print_stderr)] // the output of a command line tool
fn say(line: &str) {
    eprintln!("{line}");
}
