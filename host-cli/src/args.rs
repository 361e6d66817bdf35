//! The command line. Help texts, manual pages and shell completions all come from here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use daleel_core::CivilTime;

use crate::{exit::EXIT_CODES_HELP, progress::Mode, verbs};

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
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Say what wrote this, and why
    Identify(verbs::identify::Identify),
    /// List the recordings of the recorder's own index
    List(verbs::list::List),
    /// Explain the structure at an offset, field by field
    Show(verbs::show::Show),
    /// Write the listed recordings as playable clips with the place of every frame
    Extract(verbs::extract::Extract),
    /// Print the recorder's own log
    Logs(verbs::logs::Logs),
    /// Make a small recorder disk from built-in footage and take it through all of this
    Demo(verbs::demo::Demo),
    /// Print the completion script for a shell
    Completions(verbs::manual::Completions),
    /// Write the manual pages into a folder
    Man(verbs::manual::Man),
}

/// A source and how to read it.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// Disk image, any piece of a split image (.001, .dd.000, ...), block device, .dav file, or folder of .dav files
    #[arg(value_name = "SOURCE")]
    pub source: PathBuf,
    /// ddrescue map of the image: what it calls unreadable or untried is treated as a hole, never as data
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,
    /// Read as this family instead of the best verdict (see `identify`)
    #[arg(long, value_name = "NAME")]
    pub family: Option<String>,
}

/// Which recordings.
#[derive(Debug, Args, Clone, Default)]
pub struct FilterArgs {
    /// Only this camera, as the recorder numbers it from 1; may be given several times
    #[arg(long, value_name = "N")]
    pub channel: Vec<u32>,
    /// Only footage at or after this recorder time (2024-12-07T20:00, no zone)
    #[arg(long, value_name = "TIME")]
    pub from: Option<CivilTime>,
    /// Only footage at or before this recorder time
    #[arg(long, value_name = "TIME")]
    pub to: Option<CivilTime>,
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
        channel && !before && !after
    }

    /// True when the times can cut recordings.
    pub const fn has_times(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }
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
