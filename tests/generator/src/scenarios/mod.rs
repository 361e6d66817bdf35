//! The list of scenarios, and what they share.

mod content;
mod damaged;
mod files;
mod hikvision;
mod hikvision_content;
mod hikvision_damaged;
mod hikvision_exports;
mod hikvision_files;
mod layouts;
mod times;

use std::fs;
use std::path::Path;

use crate::Error;
use crate::civil::Moment;
use crate::dav::{DavPlan, write_dav, write_old_mpeg};
use crate::dhfs::{DiskPlan, Generation, LogLine, PartitionPlan, RecordingPlan, write_disk};
use crate::footage::Footage;
use crate::hikvision::disk::DiskPlan as HikvisionDiskPlan;
use crate::hikvision::disk::write_disk as write_hikvision_disk;
use crate::hikvision::files::{FilesPlan, write_files};
use crate::hikvision::{ExportPlan, write_export};
use crate::image::{Image, Medium};
use crate::take::Take;
use crate::truth::{TRUTH_FILE, Truth};

/// Sectors of a small disk; four partitions of a little more than 4 MiB.
const SMALL_DISK: u64 = 36_003;
/// Partition alignment of newer disks in sectors.
pub(crate) const ALIGN_1_MIB: u32 = 0x800;
/// Partition alignment of older disks in sectors.
const ALIGN_32_MIB: u32 = 0x10000;

/// One disk, file or folder with known content.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Name, also of the image.
    pub name: &'static str,
    /// One line about what is special.
    pub summary: &'static str,
    plan: fn(u64) -> Plan,
}

/// What a scenario writes.
enum Plan {
    Disk(DiskPlan),
    Dav(DavPlan),
    OldMpeg(Moment),
    HikvisionDisk(Box<HikvisionDiskPlan>),
    HikvisionExport(ExportPlan),
    HikvisionFiles(Box<FilesPlan>),
}

/// What a scenario makes beside its truth file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The image of a disk.
    Disk,
    /// A stream file.
    Stream,
    /// A folder of files.
    Folder,
}

/// All scenarios, by family: disks first, then files.
pub fn scenarios() -> &'static [Scenario] {
    static ALL: std::sync::OnceLock<Vec<Scenario>> = std::sync::OnceLock::new();
    ALL.get_or_init(|| {
        [
            layouts::SCENARIOS,
            content::SCENARIOS,
            times::SCENARIOS,
            damaged::SCENARIOS,
            files::SCENARIOS,
            hikvision::SCENARIOS,
            hikvision_content::SCENARIOS,
            hikvision_damaged::SCENARIOS,
            hikvision_exports::SCENARIOS,
            hikvision_files::SCENARIOS,
        ]
        .concat()
    })
}

/// Writes the scenario `name` into `dir`; see [`Scenario::write`].
///
/// # Errors
/// As [`Scenario::write`], and when there is no such scenario.
pub fn write_scenario(name: &str, dir: &Path, seed: u64) -> Result<Truth, Error> {
    let scenario = scenarios().iter().find(|scenario| scenario.name == name);
    scenario.ok_or_else(|| Error::UnknownScenario(name.into()))?.write(dir, seed)
}

impl Scenario {
    /// The family of formats: `dahua` or `hikvision`.
    pub fn family(&self) -> &'static str {
        if self.name.starts_with("hik") { "hikvision" } else { "dahua" }
    }

    /// What it makes.
    pub fn shape(&self) -> Shape {
        const FOLDERS: [&str; 3] = ["hik-sd", "hik-camera", "hik-nas"];
        if self.is_disk() {
            Shape::Disk
        } else if FOLDERS.iter().any(|start| self.name.starts_with(start)) {
            Shape::Folder
        } else {
            Shape::Stream
        }
    }

    /// True for a disk, false for a stream file or a folder.
    pub fn is_disk(&self) -> bool {
        self.name.starts_with("dahua-") || self.name.starts_with("hikvision-")
    }

    /// Name of the image file, or of the folder.
    pub fn image_name(&self) -> String {
        match (self.shape(), self.family()) {
            (Shape::Disk, _) => format!("{}.img", self.name),
            (Shape::Folder, _) => self.name.to_owned(),
            (Shape::Stream, "hikvision") => format!("{}.mp4", self.name),
            (Shape::Stream, _) => format!("{}.dav", self.name),
        }
    }

    /// Builds the image in memory.
    ///
    /// # Errors
    /// The plan does not fit, which is a mistake in the scenario, or the scenario makes a folder.
    pub fn build(&self, seed: u64) -> Result<(Image, Truth), Error> {
        match self.build_medium(seed)? {
            (Medium::Image(image), truth) => Ok((image, truth)),
            (Medium::Folder(_), _) => Err(Error::Plan(format!("{} makes a folder", self.name))),
        }
    }

    /// Builds the image, or the files of the folder, in memory.
    ///
    /// # Errors
    /// The plan does not fit, which is a mistake in the scenario.
    pub fn build_medium(&self, seed: u64) -> Result<(Medium, Truth), Error> {
        let image = |(image, truth)| (Medium::Image(image), truth);
        let (medium, truth) = match (self.plan)(seed) {
            Plan::Disk(plan) => {
                let disk = write_disk(&plan)?;
                (Medium::Image(disk.image), disk.truth)
            }
            Plan::Dav(plan) => image(write_dav(&plan)?),
            Plan::OldMpeg(start) => image(write_old_mpeg(start)?),
            Plan::HikvisionDisk(plan) => image(write_hikvision_disk(&plan)?),
            Plan::HikvisionExport(plan) => image(write_export(&plan)?),
            Plan::HikvisionFiles(plan) => {
                let (folder, truth) = write_files(&plan)?;
                (folder.into_medium(), truth)
            }
        };
        let (scenario, summary) = (self.name.into(), self.summary.into());
        Ok((medium, Truth { scenario, summary, seed, image: self.image_name(), ..truth }))
    }

    /// Writes the image or folder and `truth.json` into `dir`, which is made if it is missing.
    ///
    /// # Errors
    /// One of the two files exists already, or cannot be written.
    pub fn write(&self, dir: &Path, seed: u64) -> Result<Truth, Error> {
        let (medium, truth) = self.build_medium(seed)?;
        save(dir, &medium, &truth)?;
        Ok(truth)
    }
}

/// Writes a medium and its truth; replaces nothing.
pub(crate) fn save(dir: &Path, medium: &Medium, truth: &Truth) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|source| Error::io("make", dir, source))?;
    let path = dir.join(TRUTH_FILE);
    if path.exists() {
        let exists = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(Error::io("write", &path, exists));
    }
    medium.save(&truth.image_path(dir))?;
    truth.save(dir)
}

/// A small disk of four partitions of which the first ones are given and the others are empty.
fn small_disk(generation: Generation, busy: Vec<PartitionPlan>) -> DiskPlan {
    let mut partitions = busy;
    let last = partitions.iter().flat_map(|p| &p.recordings).map(|r| r.take.start).max();
    partitions.resize_with(4, PartitionPlan::default);
    partitions[0].log = log_lines(last.unwrap_or(day(0, 0, 0)));
    DiskPlan {
        generation,
        sectors: SMALL_DISK,
        alignment: ALIGN_1_MIB,
        partitions,
        damage: Vec::new(),
    }
}

/// A disk of the early generation with one busy partition.
fn one_busy(recordings: Vec<RecordingPlan>) -> Plan {
    let partition = PartitionPlan { recordings, ..PartitionPlan::default() };
    Plan::Disk(small_disk(Generation::Early, vec![partition]))
}

/// The generation of newer recorders.
pub(crate) fn later(seed: u64) -> Generation {
    let mut rng = crate::rng::Rng::new(seed, 99);
    let hex = format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64());
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    Generation::Later { uuid: parts.join("-") }
}

/// The usual lines of a log; the disk was formatted 40 days before `last`.
pub(crate) fn log_lines(last: Moment) -> Vec<LogLine> {
    const DAY_MS: i64 = 86_400_000;
    let formatted = last.plus_ms(-40 * DAY_MS + 3_217_000);
    let init = "Init dhfs, current 0-0, g_disk_num 1, [WD-WXA1EB7H0DAL] Type: 0, error_flag 0, \
                totol cluster 56, current_cluster 0";
    vec![
        LogLine::operation(formatted, "format"),
        LogLine::info(formatted.plus_ms(83_000), init),
        LogLine::operation(formatted.plus_ms(84_000), "SetDriverType 5"),
        LogLine::info(last.plus_ms(-9 * DAY_MS), "ChangePart from [0-3] to [0-0] resean 0"),
        LogLine::info(last.plus_ms(-2 * DAY_MS - 5_000), "ChangePart from [0-0] to [0-1] resean 0"),
    ]
}

/// 14 March 2024, an ordinary day, at a time of day.
const fn day(hour: i64, minute: i64, second: i64) -> Moment {
    Moment::at((2024, 3, 14), (hour, minute, second))
}

/// A recording of camera `footage` on the input of the same number.
fn recording(footage: Footage, start: Moment, frames: usize, seed: u64) -> RecordingPlan {
    RecordingPlan::new(footage.camera(), Take::new(footage, start, frames, seed))
}
