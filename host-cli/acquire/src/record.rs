//! `image.json`: what the program knows of an image, written once, when the image is finished.
//!
//! Layout: docs/schemas/image.md. It holds nothing that an operator said, with one exception that is marked as given: the identity of a
//! write blocker that is not ours. What could not be known is null, with the reason beside it; nothing is invented.

use std::{env, fs, path::Path};

use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    digest::{Algorithm, blocks::file_digest, hex},
    journal::Event,
};

/// Name and version of the document.
pub const SCHEMA: &str = "daleel.image/1";
/// Its file in an image's folder.
pub const FILE: &str = "image.json";

/// Now, UTC, to the millisecond.
pub fn now() -> String {
    let now = Timestamp::now();
    now.round(Unit::Millisecond).unwrap_or(now).to_string()
}

/// The program that made an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// `daleel`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the executable that ran; null where the system does not show it.
    pub executable_sha256: Option<String>,
    /// The arguments, without the texts that an operator wrote.
    pub command_line: Vec<String>,
}

/// The computer that a run was made on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Operating system.
    pub system: String,
    /// Its kernel, as it calls itself; null where it does not say.
    pub kernel: Option<String>,
    /// Processor architecture.
    pub architecture: String,
    /// The time zone set on it; times in records are UTC all the same.
    pub zone: Option<String>,
    /// The clock that times are taken from.
    pub clock: Clock,
}

/// A computer's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Where the system has its time from, as far as it says.
    pub source: String,
    /// Whether that source calls it synchronised; null when it does not say.
    pub synchronised: Option<bool>,
}

impl Clock {
    /// What the services that set clocks leave in the file system of a Linux computer: systemd-timesyncd a file once it is
    /// synchronised, chrony and ntpd their working files while they run.
    pub fn this() -> Self {
        let is_there = |path: &str| Path::new(path).exists();
        let of = |source: &str, synchronised| Self { source: source.to_owned(), synchronised };
        if is_there("/run/systemd/timesync") {
            return of("systemd-timesyncd", Some(is_there("/run/systemd/timesync/synchronized")));
        }
        let services =
            [("/run/chrony", "chrony"), ("/run/chrony.pid", "chrony"), ("/run/ntpd.pid", "ntpd")];
        match services.iter().find(|(path, _)| is_there(path)) {
            Some((_, name)) => of(name, None),
            None => of("the computer's clock; no time service was seen", None),
        }
    }
}

/// The medium.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediumJson {
    /// Size in bytes.
    pub bytes: u64,
    /// Bytes of a logical sector.
    pub sector_bytes: u32,
    /// Whole sectors.
    pub sectors: u64,
}

/// A digest and what it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestJson {
    /// Function.
    pub algorithm: Algorithm,
    /// Hexadecimal digits.
    pub value: String,
    /// `medium`: every byte was read. `filled`: the medium with zeros where it could not be read. `partial`: with zeros where it was
    /// not acquired, which is no digest of the medium.
    pub scope: Scope,
}

/// What a digest is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Every byte of the medium.
    Medium,
    /// The medium with zeros in place of unreadable sectors.
    Filled,
    /// Zeros also where nothing was asked for.
    Partial,
}

/// The block list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlocksJson {
    /// Function.
    pub algorithm: Algorithm,
    /// Bytes of a block.
    pub block_bytes: u64,
    /// Number of blocks.
    pub count: u64,
    /// Digest of `groups.sha256`.
    pub groups_sha256: String,
}

/// A file of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileJson {
    /// Name in the image's folder.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the file; null when it was not read back.
    pub sha256: Option<String>,
}

/// An extent in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtentJson {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

/// What was not had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolesJson {
    /// Bytes that could not be read.
    pub unreadable_bytes: u64,
    /// Sectors that they are in.
    pub unreadable_sectors: u64,
    /// Extents of them.
    pub unreadable_extents: u64,
    /// Bytes that were not asked for, or not got to.
    pub not_acquired_bytes: u64,
    /// The first extents, all of them in the map.
    pub first: Vec<ExtentJson>,
    /// What stands in their place in the image.
    pub fill: String,
    /// Unreadable extents that the container's own error list cannot express.
    pub not_in_container: u64,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcquisitionJson {
    /// Begin of the first run, UTC.
    pub started: String,
    /// End, UTC.
    pub ended: String,
    /// Time spent in runs, by a clock that nobody sets, in milliseconds.
    pub working_ms: u64,
    /// Bytes a second over that time.
    pub bytes_per_second: u64,
    /// Everything that happened, in order.
    pub events: Vec<Event>,
    /// What the medium did not give.
    pub holes: HolesJson,
    /// In the recorder's own terms, where its file system was read: camera-minutes that are unreadable or not acquired.
    pub camera_time: Option<Value>,
}

/// Whether the files were read again after they were written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadBackJson {
    /// Folder that was read.
    pub folder: String,
    /// Every block and digest is as it was acquired.
    pub equal: bool,
    /// When, UTC.
    pub when: String,
    /// What differs.
    pub differences: Vec<String>,
}

/// A statement of our own bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementJson {
    /// Name of its files in `bridge/`.
    pub name: String,
    /// SHA-256 of the `.cbor`.
    pub sha256: String,
    /// Session and number of the statement in it.
    pub session: String,
    /// Entries of the log that it covers, from the first on.
    pub entries: u64,
    /// Root over them.
    pub root: String,
}

/// The custody event that an acquisition begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustodyJson {
    /// Number of the event.
    pub event: u64,
    /// SHA-256 of its file.
    pub sha256: String,
}

/// What stood between the disk and this computer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum WriteBlocker {
    /// Our own bridge, with its statements.
    Bridge {
        /// What the bridge says of itself, and its key.
        device: Value,
        /// Part of the medium with a digest of the bridge that is equal to ours.
        covered_bytes: u64,
        /// Blocks where the bridge has another digest than we.
        differing_blocks: u64,
        /// What every report says.
        notice: String,
    },
    /// One that the operator names; nothing here was checked.
    Given {
        /// The operator's words.
        given: String,
    },
    /// None was named. The host's own read-only state is with the source.
    NoneNamed,
}

/// The whole record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageJson {
    /// Name and version.
    pub schema: String,
    /// The event that it belongs to; null without a case.
    pub custody: Option<CustodyJson>,
    /// The program.
    pub tool: Tool,
    /// What was asked of it.
    pub parameters: Value,
    /// The computer, at the end.
    pub host: Host,
    /// The source before the first read.
    pub source: Value,
    /// The source after the last.
    pub source_after: Value,
    /// What the disk said of itself before the first read; null of a file.
    pub device: Value,
    /// The same after the last one.
    pub device_after: Value,
    /// What stood between.
    pub write_blocker: WriteBlocker,
    /// Statements of our own bridge, in order.
    pub statements: Vec<StatementJson>,
    /// The medium.
    pub medium: MediumJson,
    /// How it went.
    pub acquisition: AcquisitionJson,
    /// Digests of the medium.
    pub digests: Vec<DigestJson>,
    /// The block list.
    pub blocks: BlocksJson,
    /// `e01`, `raw` or `split-raw`.
    pub format: String,
    /// The files, this one apart.
    pub files: Vec<FileJson>,
    /// Whether they were read back.
    pub read_back: Vec<ReadBackJson>,
    /// What has to be said with it.
    pub limitations: Vec<String>,
}

impl Tool {
    /// This program. `hidden` are the options whose values are an operator's words.
    pub fn this(version: &str, hidden: &[&str]) -> Self {
        let executable = env::current_exe().ok().and_then(|path| file_digest(&path).ok());
        Self {
            name: "daleel".to_owned(),
            version: version.to_owned(),
            executable_sha256: executable.map(|digest| hex(&digest)),
            command_line: without_values(
                env::args_os().map(|arg| arg.to_string_lossy().into_owned()),
                hidden,
            ),
        }
    }
}

/// Arguments with the values of some options left out.
fn without_values(args: impl Iterator<Item = String>, hidden: &[&str]) -> Vec<String> {
    const LEFT_OUT: &str = "(the operator's words)";
    let mut is_value = false;
    args.map(|arg| {
        if std::mem::take(&mut is_value) {
            return LEFT_OUT.to_owned();
        }
        is_value = hidden.contains(&arg.as_str());
        match arg.split_once('=') {
            Some((option, _)) if hidden.contains(&option) => format!("{option}={LEFT_OUT}"),
            _ => arg,
        }
    })
    .collect()
}

impl Host {
    /// This computer, now.
    pub fn this() -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        let zone = jiff::tz::TimeZone::system();
        Self {
            system: env::consts::OS.to_owned(),
            kernel: kernel.map(|text| text.trim().to_owned()),
            architecture: env::consts::ARCH.to_owned(),
            zone: zone.iana_name().map(str::to_owned),
            clock: Clock::this(),
        }
    }
}

/// A file of an image as a record of it.
///
/// # Errors
/// When it cannot be looked at.
pub fn file_json(folder: &Path, name: &str, sha256: Option<String>) -> std::io::Result<FileJson> {
    let bytes = fs::metadata(folder.join(name))?.len();
    Ok(FileJson { name: name.to_owned(), bytes, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operator's words are in the container and in custody events, never in the tool's own record.
    #[test]
    fn the_command_line_is_kept_without_the_operators_words() {
        let args = [
            "daleel",
            "image",
            "--notes",
            "found by N.",
            "--examiner=A. B.",
            "/dev/sdb",
            "--out",
            "x",
        ];
        let kept =
            without_values(args.iter().map(|arg| (*arg).to_owned()), &["--notes", "--examiner"]);
        assert_eq!(
            kept,
            [
                "daleel",
                "image",
                "--notes",
                "(the operator's words)",
                "--examiner=(the operator's words)",
                "/dev/sdb",
                "--out",
                "x"
            ]
        );
    }
}
