//! Command line of the generator.

use std::path::PathBuf;
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

/// Write recorder disks, folders and stream files with known content, and the truth about them.
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
        /// File to make: a stream, or a disk with --disk
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
        /// Write the formats of Hikvision instead of those of Dahua
        #[arg(long)]
        hikvision: bool,
    },
    /// Write a large sparse Hikvision disk, for measuring; without a frame-by-frame truth
    Sparse {
        /// File to make
        file: PathBuf,
        /// Blocks of 1 GiB
        #[arg(long, value_name = "N", default_value_t = 9313)]
        blocks: u32,
        /// Blocks that are still open, with footage in full
        #[arg(long, value_name = "N", default_value_t = 16)]
        open: u32,
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
        Command::Long { file, bytes, bitrate, disk, hikvision } => {
            let facts = match (hikvision, disk) {
                (false, false) => bench::long_dav(&file, bytes, bitrate)?,
                (false, true) => bench::long_disk(&file, bytes)?,
                (true, false) => bench::hikvision_long_stream(&file, bytes, bitrate)?,
                (true, true) => bench::hikvision_long_disk(&file, bytes)?,
            };
            report_facts(&facts);
        }
        Command::Sparse { file, blocks, open } => {
            report_facts(&bench::hikvision_sparse_disk(&file, blocks, open)?);
        }
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

fn report_facts(facts: &bench::BenchFacts) {
    let path = facts.path.display();
    say(&format!("{path} {} bytes, {} video frames", facts.bytes, facts.frames));
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
