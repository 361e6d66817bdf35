//! `daleel verify`.

use std::path::PathBuf;

use anyhow::Result;
use daleel_acquire::digest::{Algorithm, unhex};

use crate::{
    args::{OutputArgs, ProgressArgs},
    exit::{Exit, Failure},
    imaging::verify::{self, Given, Wanted},
    interrupt,
    output::print_json,
};

/// Check an image against everything that was written down about it
///
/// Reads the image once, on all processor cores: every megabyte against the block list, the whole against the digests in image.json, in
/// the E01 container and on the command line, every file against its own digest, every E01 chunk against its checksum. Says which
/// megabyte differs and which recordings lie there, and which standard command shows the same. E01 sets of any program and raw images without
/// a record can be checked, too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  daleel verify EV-7
  daleel verify EV-7/image.E01 --json
  daleel verify other-tool.E01
  daleel verify disk.dd --sha256 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
  daleel verify EV-7 --quick")]
pub struct Verify {
    /// Folder of an image, or any file of it
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// Compare with this MD5 of the whole medium
    #[arg(long, value_name = "HEX", value_parser = parse_md5)]
    md5: Option<Given>,
    /// Compare with this SHA-1 of the whole medium
    #[arg(long, value_name = "HEX", value_parser = parse_sha1)]
    sha1: Option<Given>,
    /// Compare with this SHA-256 of the whole medium
    #[arg(long, value_name = "HEX", value_parser = parse_sha256)]
    sha256: Option<Given>,
    /// Compare with this BLAKE3 of the whole medium
    #[arg(long, value_name = "HEX", value_parser = parse_blake3)]
    blake3: Option<Given>,
    /// Blocks and checksums only: leave out the digests over the whole medium and over the files, which take longest
    #[arg(long)]
    quick: bool,
    /// Threads that hash blocks; by default one for each processor core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    progress: ProgressArgs,
}

fn parse_digest(algorithm: Algorithm, bytes: usize, text: &str) -> Result<Given, String> {
    match unhex(text).filter(|digest| digest.len() == bytes) {
        Some(digest) => Ok(Given { algorithm, digest }),
        None => Err(format!(
            "`{text}` is no {} digest: {} hexadecimal digits",
            algorithm.as_str(),
            bytes.saturating_mul(2)
        )),
    }
}

fn parse_md5(text: &str) -> Result<Given, String> {
    parse_digest(Algorithm::Md5, 16, text)
}

fn parse_sha1(text: &str) -> Result<Given, String> {
    parse_digest(Algorithm::Sha1, 20, text)
}

fn parse_sha256(text: &str) -> Result<Given, String> {
    parse_digest(Algorithm::Sha256, 32, text)
}

fn parse_blake3(text: &str) -> Result<Given, String> {
    parse_digest(Algorithm::Blake3, 32, text)
}

impl Verify {
    /// Runs the verb.
    ///
    /// # Errors
    /// When the image cannot be opened or read.
    pub fn run(self) -> Result<Exit> {
        let given: Vec<Given> =
            [self.md5, self.sha1, self.sha256, self.blake3].into_iter().flatten().collect();
        if self.quick && !given.is_empty() {
            let text = "--quick leaves out the digests over the whole medium";
            return Err(Failure::new(Exit::Usage, text).into());
        }
        interrupt::watch();
        let wanted = Wanted {
            image: self.image,
            given,
            quick: self.quick,
            threads: self.threads.map(usize::from),
            progress: self.progress.progress,
        };
        let report = verify::run(&wanted)?;
        if self.output.json {
            print_json(&report)?;
        } else {
            verify::print_text(&report)?;
        }
        Ok(report.exit())
    }
}
