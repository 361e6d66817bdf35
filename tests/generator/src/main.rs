//! Command line of the generator.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use daleel_generator::{Error, Scenario, bench, scenarios, write_scenario};

const EXAMPLES: &str = "\
Examples:
  daleel-generator list
  daleel-generator write dahua-intact --out evidence
  daleel-generator write dahua-gap --out gap-7 --seed 7
  daleel-generator all --out benchmark
  daleel-generator long stream.dav --bytes 2147483648

Each scenario is an image and a truth.json beside it. Nothing is ever replaced.";

/// Write recorder disks and .dav files with known content, and the truth about them.
#[derive(Parser)]
#[command(name = "daleel-generator", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the scenarios
    List,
    /// Write one scenario
    Write {
        /// Name of the scenario
        scenario: String,
        /// Folder for the image and truth.json
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Seed of everything random
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
    },
    /// Write every scenario into a folder of its own
    All {
        /// Folder for the folders of the scenarios
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Seed of everything random
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
    },
    /// Write one long stream, for measuring speed; without a frame-by-frame truth
    Long {
        /// File to make: a .dav stream, or a disk with --disk
        file: PathBuf,
        /// Bytes of stream
        #[arg(long, value_name = "N", default_value_t = 1 << 30)]
        bytes: u64,
        /// Bits a second of the stream
        #[arg(long, value_name = "N", default_value_t = 4_000_000)]
        bitrate: u64,
        /// Write a disk that holds the stream
        #[arg(long)]
        disk: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::List => scenarios().iter().for_each(list),
        Command::Write { scenario, out, seed } => {
            let truth = write_scenario(&scenario, &out, seed)?;
            say(&format!("{} {} bytes", truth.image_path(&out).display(), truth.bytes));
        }
        Command::Long { file, bytes, bitrate, disk } => long(&file, bytes, bitrate, disk)?,
        Command::All { out, seed } => {
            for scenario in scenarios() {
                let dir = out.join(scenario.name);
                let truth = scenario.write(&dir, seed)?;
                say(&format!("{} {} bytes", truth.image_path(&dir).display(), truth.bytes));
            }
        }
    }
    Ok(())
}

fn long(file: &Path, bytes: u64, bitrate: u64, disk: bool) -> Result<(), Error> {
    let facts =
        if disk { bench::long_disk(file, bytes)? } else { bench::long_dav(file, bytes, bitrate)? };
    say(&format!("{} {} bytes, {} video frames", file.display(), facts.bytes, facts.frames));
    Ok(())
}

fn list(scenario: &Scenario) {
    say(&format!("{:<28} {}", scenario.name, scenario.summary));
}

#[allow(clippy::print_stdout)] // the output of a command
fn say(line: &str) {
    println!("{line}");
}

#[allow(clippy::print_stderr)] // the report of a failed command
fn report(error: &Error) {
    eprintln!("error: {error}");
}
