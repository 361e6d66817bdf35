//! The command line. Help texts, manual pages and shell completions all come from here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use daleel_core::{CivilTime, RecordingState, TimeParseError};

use crate::{
    exit::{EXIT_CODES_HELP, Exit, Failure},
    progress::Mode,
    verbs,
};

/// From a CCTV recorder's disk to timestamped, traceable clips
///
/// Reads images and disks of CCTV recorders, read-only. Times are those of the recorder's own clock, without a time zone.
/// Offsets count in bytes from the start of the image, in decimal or with 0x in hexadecimal.
#[derive(Debug, Parser)]
#[command(name = "daleel", version, after_help = EXIT_CODES_HELP, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs, in the order of the work.
// Each verb's own documentation is its help; a comment here would take its place.
#[allow(missing_docs)]
#[derive(Debug, Subcommand)]
pub enum Verb {
    Devices(verbs::devices::Devices),
    Doctor(verbs::doctor::Doctor),
    Identify(verbs::identify::Identify),
    Image(verbs::image::Image),
    Verify(verbs::verify::Verify),
    List(verbs::list::List),
    Show(verbs::show::Show),
    Extract(verbs::extract::Extract),
    Logs(verbs::logs::Logs),
    Bridge(verbs::bridge::Bridge),
    Demo(verbs::demo::Demo),
    Completions(verbs::manual::Completions),
    Man(verbs::manual::Man),
}

/// A source and how to read it.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// Disk image, any piece of a split image (.001, .dd.000, ...), block device, file of a recorder (.dav, exported
    /// .mp4, index00.bin), or folder of such files
    #[arg(value_name = "SOURCE")]
    pub source: PathBuf,
    /// ddrescue map of the image: what it calls unreadable or untried is treated as a hole, never as data. A map beside the image that
    /// covers it is used without being asked for
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,
    /// Do not use the ddrescue map that lies beside the image (IMAGE.map, ...) and covers it
    #[arg(long, conflicts_with = "map")]
    pub no_map: bool,
    /// Read as this family instead of the best verdict (see `identify`)
    #[arg(long, value_name = "NAME")]
    pub family: Option<String>,
}

/// Which recordings.
#[derive(Debug, Args, Clone, Default)]
pub struct FilterArgs {
    /// Only this channel, as the recorder numbers it from 1; may be given several times
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub channel: Vec<u32>,
    /// Only footage at or after this recorder time (2024-12-07T20:00, no zone)
    #[arg(long, value_name = "TIME")]
    pub from: Option<CivilTime>,
    /// Only footage at or before this recorder time; a date alone means to the end of that day
    #[arg(long, value_name = "TIME", value_parser = parse_until)]
    pub to: Option<CivilTime>,
    /// Only recordings in this state; may be given several times. `residual` are entries that the recorder no longer shows: `list` has
    /// them without being asked, `extract` only when asked
    #[arg(long, value_enum, value_name = "STATE")]
    pub state: Vec<StateArg>,
}

/// State of a recording, for the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StateArg {
    /// Closed by the recorder
    Closed,
    /// Being written when the power went
    Open,
    /// The index contradicts itself
    Conflict,
    /// No longer shown by the recorder
    Residual,
}

impl From<StateArg> for RecordingState {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Closed => Self::Closed,
            StateArg::Open => Self::Open,
            StateArg::Conflict => Self::Conflict,
            StateArg::Residual => Self::Residual,
        }
    }
}

impl FilterArgs {
    /// Whether a recording with these index data is asked for. Recordings without usable times are kept: they may hold what is
    /// looked for.
    pub fn wants(&self, recording: &daleel_core::Recording) -> bool {
        let channel = self.channel.is_empty()
            || recording.channel.is_some_and(|channel| self.channel.contains(&channel));
        let (start, end) =
            (recording.start, recording.end.filter(|end| Some(*end) >= recording.start));
        // An index states whole seconds: the last one is recorded to its end.
        let end = end.map(|end| end.plus_millis(999));
        let before = self.from.zip(end).is_some_and(|(from, end)| end < from);
        let after = self.to.zip(start).is_some_and(|(to, start)| start > to);
        let is_in = |state: &StateArg| RecordingState::from(*state) == recording.state;
        let state = self.state.is_empty() || self.state.iter().any(is_in);
        channel && state && !before && !after
    }

    /// Whether a recording is to be extracted: what the recorder no longer shows only when it is asked for.
    pub fn extracts(&self, recording: &daleel_core::Recording) -> bool {
        let is_listed = recording.state != RecordingState::Residual;
        self.wants(recording) && (is_listed || self.state.contains(&StateArg::Residual))
    }

    /// Refuses a time range that holds nothing.
    ///
    /// # Errors
    /// When it ends before it begins.
    pub fn check(&self) -> Result<(), Failure> {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from > to => {
                Err(Failure::new(Exit::Usage, format!("--from {from} lies after --to {to}")))
            }
            _ => Ok(()),
        }
    }

    /// True when the times can cut recordings.
    pub const fn has_times(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }
}

/// A time, or the last millisecond of a day.
pub fn parse_until(text: &str) -> Result<CivilTime, TimeParseError> {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let time: CivilTime = text.parse()?;
    let is_date = !text.contains(['T', 't', ' ']);
    Ok(if is_date { time.plus_millis(DAY_MS - 1) } else { time })
}

/// How to answer.
#[derive(Debug, Args, Clone, Copy, Default)]
pub struct OutputArgs {
    /// One JSON document instead of text
    #[arg(long)]
    pub json: bool,
}

/// How to show progress.
#[derive(Debug, Args, Clone, Copy, Default)]
pub struct ProgressArgs {
    /// Progress on stderr
    #[arg(long, value_enum, default_value_t = Mode::Auto, value_name = "MODE")]
    pub progress: Mode,
}
