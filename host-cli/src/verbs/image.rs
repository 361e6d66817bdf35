//! `daleel image`.

use std::{
    io::{Write, stderr},
    path::PathBuf,
    thread,
};

use anyhow::Result;
use daleel_acquire::{
    digest::Algorithm,
    ewf::{chunk::Compression, header::CaseText, plan::SegmentSize},
    job::settings::{Format, Order, Patience, Request, Settings},
    record::Tool,
};

use crate::{
    args::{OutputArgs, ProgressArgs},
    exit::{Exit, Failure},
    imaging, interrupt,
    output::print_json,
};

/// Image a disk, with everything that is needed to check the image later
///
/// Reads a disk or a file from front to back, read-only, and writes an E01 set (or raw files) with MD5, SHA-1, SHA-256 and a list of the
/// SHA-256 of every megabyte, so that anyone can check one megabyte with `dd` and `sha256sum`. A disk that fails, or that is to be read in
/// another order, is first read into a raw file with a ddrescue map and then packed. At the end every file is read back and compared.
/// Ctrl-C is a pause; `--resume` goes on, also after a power cut.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  daleel image /dev/sdb --out EV-7 --evidence-number EV-7 --examiner 'A. Examiner'
  daleel image /dev/sdb --out EV-7 --format raw --also /media/second/EV-7
  daleel image /dev/sdb --out EV-7 --first index --first 'CH3 2024-12-07T20:00..2024-12-08T04:00'
  daleel image /dev/sdb --out EV-7 --only index
  daleel image /dev/sdb /dev/sdc --out case-12
  daleel image /dev/sdb --out EV-7 --bridge
  daleel image /dev/sdb --out EV-7 --resume")]
pub struct Image {
    /// Disk or file; several are imaged at once, each into a folder of its own below the output folder
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<PathBuf>,
    /// Folder of the image; it must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A second folder, on another disk, that gets the same in the same pass
    #[arg(long, value_name = "DIR")]
    also: Option<PathBuf>,
    /// Go on with an unfinished image, with the settings it was begun with
    #[arg(long)]
    resume: bool,
    /// Do not read the files back at the end
    #[arg(long)]
    no_read_back: bool,
    /// Say what would be done and end
    #[arg(long)]
    dry_run: bool,
    /// Threads that encode and hash blocks; by default one for each processor core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    progress: ProgressArgs,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    reading: ReadingArgs,
    #[command(flatten)]
    words: WordArgs,
    #[command(flatten)]
    blocker: BridgeArgs,
}

/// The form of the image.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Form")]
struct FormArgs {
    /// Form of the image
    #[arg(long, value_enum, default_value_t = FormatArg::E01, value_name = "FORM")]
    format: FormatArg,
    /// Bytes of a piece of a raw image (4GiB, 700MB, ...): image.001, image.002, ...
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    split: Option<u64>,
    /// How E01 chunks are stored
    #[arg(long, value_enum, default_value_t = CompressArg::Adaptive, value_name = "HOW")]
    compress: CompressArg,
    /// Size of E01 segment files: auto, legacy (2000 MiB), single, or a size
    #[arg(long, value_name = "SIZE", default_value = "auto", value_parser = parse_segment)]
    segment_size: SegmentSize,
    /// Digests of the whole medium, comma separated: md5, sha1, sha256, blake3
    #[arg(long, value_delimiter = ',', value_name = "LIST", default_value = "md5,sha1,sha256", value_parser = parse_algorithm)]
    hash: Vec<Algorithm>,
    /// Once the image was read back and is equal, remove the raw file that it was packed from
    #[arg(long)]
    remove_raw: bool,
}

/// How the disk is read.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Reading")]
struct ReadingArgs {
    /// Read these first: `index` (the recorder's own areas), or recordings as `CH3 2024-12-07T20:00..2024-12-08T04:00` (channel, time, or both); may be given several times
    #[arg(long, value_name = "WHAT")]
    first: Vec<String>,
    /// Read nothing but these; the rest of the image is a hole that every verb reports
    #[arg(long, value_name = "WHAT", conflicts_with = "first")]
    only: Vec<String>,
    /// Treat the disk as failing from the start: raw file and map first
    #[arg(long)]
    rescue: bool,
    /// Read the disk's health (SMART) before and after: that can make a drive save its attributes, so it is in the record
    #[arg(long)]
    smart: bool,
    /// Passes that try bad sectors again
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,
    /// Longest time for each pass over a failing disk
    #[arg(long, value_name = "SECONDS")]
    pass_time: Option<u64>,
    /// Most failed reads in a pass over a failing disk
    #[arg(long, value_name = "N")]
    pass_errors: Option<u64>,
    /// How long a lost device is waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    reconnect: u64,
}

/// Our own write blocker.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Write blocker")]
struct BridgeArgs {
    /// The disk is behind a Daleel bridge: keep a session with it while the disk is read, and compare its digest of every megabyte with the image's; the bridge's serial or the beginning of it, where that is to be checked. An image that was begun so goes on so
    #[arg(
        long,
        value_name = "SERIAL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        conflicts_with = "write_blocker"
    )]
    bridge: Option<String>,
    /// End a session that is open on the bridge already; its log is gone then
    #[arg(long, requires = "bridge")]
    supersede: bool,
}

impl BridgeArgs {
    fn wanted(&self) -> Option<imaging::bridge::Wanted> {
        let serial = self.bridge.clone()?;
        let serial = Some(serial).filter(|serial| !serial.is_empty());
        Some(imaging::bridge::Wanted { serial, supersede: self.supersede })
    }
}

/// The operator's words. They go into the E01 container, not into the tool's own record.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Operator's words")]
struct WordArgs {
    /// Case number, for the E01 container
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    case_number: String,
    /// Evidence number, for the E01 container
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    evidence_number: String,
    /// Examiner, for the E01 container
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    examiner: String,
    /// Description, for the E01 container
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,
    /// Notes, for the E01 container
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    notes: String,
    /// Maker, model, serial number and firmware of a write blocker that is not a Daleel bridge; kept as given
    #[arg(long, value_name = "TEXT")]
    write_blocker: Option<String>,
}

/// Options whose values are the operator's words.
const OPERATOR_OPTIONS: [&str; 6] = [
    "--case-number",
    "--evidence-number",
    "--examiner",
    "--description",
    "--notes",
    "--write-blocker",
];

/// Form of an image, for the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FormatArg {
    /// Expert Witness, EnCase 6 profile
    E01,
    /// Raw, with a map beside it
    Raw,
}

/// Compression, for the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum CompressArg {
    /// Every chunk as it is
    Never,
    /// Zeros by a constant, footage as it is, the rest deflated fast
    Adaptive,
    /// Everything deflated as small as possible, slowly
    Best,
}

impl From<CompressArg> for Compression {
    fn from(how: CompressArg) -> Self {
        match how {
            CompressArg::Never => Self::Never,
            CompressArg::Adaptive => Self::Adaptive,
            CompressArg::Best => Self::Best,
        }
    }
}

fn parse_algorithm(text: &str) -> Result<Algorithm, String> {
    let clean = text.to_ascii_lowercase().replace('-', "");
    let found = Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == clean);
    found.ok_or_else(|| format!("there is no digest `{text}`; known: md5, sha1, sha256, blake3"))
}

fn parse_segment(text: &str) -> Result<SegmentSize, String> {
    match text {
        "auto" => Ok(SegmentSize::Auto),
        "legacy" => Ok(SegmentSize::Legacy),
        "single" => Ok(SegmentSize::Single),
        size => parse_size(size).map(SegmentSize::Bytes),
    }
}

/// A number of bytes with an optional unit: KB, MB, GB, TB for thousands, KiB, MiB, GiB, TiB for 1024.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor: Option<u64> = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "kb" => Some(1000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        "tb" => Some(1_000_000_000_000),
        "k" | "kib" => Some(1 << 10),
        "m" | "mib" => Some(1 << 20),
        "g" | "gib" => Some(1 << 30),
        "t" | "tib" => Some(1 << 40),
        _ => None,
    };
    let number: Option<u64> = digits.parse().ok();
    number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| format!("`{text}` is no size; write 4GiB or 700MB"))
}

impl Image {
    /// Runs the verb.
    ///
    /// # Errors
    /// When the source is refused, the destination is in use, or the image cannot be made.
    pub fn run(self) -> Result<Exit> {
        self.check()?;
        let requests = self.requests()?;
        if self.dry_run {
            return imaging::plan::show(&requests, self.output.json);
        }
        interrupt::watch();
        warn_no_custody();
        let done =
            imaging::run_all(&requests, self.blocker.wanted().as_ref(), self.progress.progress)?;
        if self.output.json {
            print_json(&imaging::Answer::of(&done))?;
        } else {
            imaging::print_text(&done)?;
        }
        Ok(imaging::exit_of(&done))
    }

    fn check(&self) -> Result<(), Failure> {
        let usage = |text: &str| Failure::new(Exit::Usage, text);
        if self.form.split.is_some() && self.form.format != FormatArg::Raw {
            return Err(usage("--split cuts raw images; E01 has --segment-size"));
        }
        if self.sources.len() > 1 && self.also.is_some() {
            return Err(usage("--also goes with one source"));
        }
        if self.sources.len() > 1 && self.blocker.bridge.is_some() {
            return Err(usage("--bridge goes with one source: a bridge has one disk behind it"));
        }
        for what in self.reading.first.iter().chain(&self.reading.only) {
            imaging::guide::Wish::parse(what)?;
        }
        Ok(())
    }

    fn settings(&self) -> Settings {
        let format = match (self.form.format, self.form.split) {
            (FormatArg::E01, _) => Format::E01 {
                compression: self.form.compress.into(),
                segment: self.form.segment_size,
            },
            (FormatArg::Raw, None) => Format::Raw,
            (FormatArg::Raw, Some(piece_bytes)) => Format::SplitRaw { piece_bytes },
        };
        let mut hashes = self.form.hash.clone();
        hashes.sort_unstable();
        hashes.dedup();
        Settings {
            format,
            hashes,
            order: Order {
                rescue: self.reading.rescue,
                first: self.reading.first.clone(),
                only: self.reading.only.clone(),
            },
            patience: Patience {
                retries: self.reading.retries,
                reconnect_seconds: self.reading.reconnect,
                pass_seconds: self.reading.pass_time,
                pass_errors: self.reading.pass_errors,
            },
            smart: self.reading.smart,
            read_back: !self.no_read_back,
            remove_raw: self.form.remove_raw,
            blocker: self.words.write_blocker.clone(),
        }
    }

    /// One request for each source.
    fn requests(&self) -> Result<Vec<Request>> {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers = self.threads.map_or(cores, usize::from);
        let tool = Tool::this(env!("CARGO_PKG_VERSION"), &OPERATOR_OPTIONS);
        let outs = imaging::folders(&self.sources, &self.out)?;
        let mut requests = Vec::new();
        for (source, out) in self.sources.iter().zip(outs) {
            imaging::refuse_on_source(source, &out)?;
            if let Some(also) = &self.also {
                imaging::refuse_on_source(source, also)?;
            }
            requests.push(Request {
                source: source.clone(),
                out,
                also: self.also.clone(),
                case: CaseText {
                    description: self.words.description.clone(),
                    case_number: self.words.case_number.clone(),
                    evidence_number: self.words.evidence_number.clone(),
                    examiner: self.words.examiner.clone(),
                    notes: self.words.notes.clone(),
                },
                settings: self.settings(),
                resume: self.resume,
                workers,
                tool: tool.clone(),
            });
        }
        Ok(requests)
    }
}

/// Said at the begin and at the end (CU-2).
fn warn_no_custody() {
    let text =
        "warning: without a case no custody record is made (image.json says `custody: null`)";
    // A closed stderr is no reason to stop.
    let _ = writeln!(stderr(), "{text}");
}
