//! The list of scenarios, and what they share.

mod content;
mod damaged;
mod files;
mod layouts;
mod times;

use std::fs;
use std::path::Path;

use crate::Error;
use crate::civil::Moment;
use crate::dav::{DavPlan, write_dav, write_old_mpeg};
use crate::dhfs::{DiskPlan, Generation, LogLine, PartitionPlan, RecordingPlan, write_disk};
use crate::footage::Footage;
use crate::image::Image;
use crate::take::Take;
use crate::truth::{TRUTH_FILE, Truth};

/// Sectors of a small disk; four partitions of a little more than 4 MiB.
const SMALL_DISK: u64 = 36_003;
/// Partition alignment of newer disks in sectors.
pub(crate) const ALIGN_1_MIB: u32 = 0x800;
/// Partition alignment of older disks in sectors.
const ALIGN_32_MIB: u32 = 0x10000;

/// One disk or file with known content.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Name, also of the image file.
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
}

/// All scenarios: disks first, then `.dav` files.
pub fn scenarios() -> &'static [Scenario] {
    const COUNT: usize = layouts::SCENARIOS.len()
        + content::SCENARIOS.len()
        + times::SCENARIOS.len()
        + damaged::SCENARIOS.len()
        + files::SCENARIOS.len();
    static ALL: std::sync::OnceLock<Vec<Scenario>> = std::sync::OnceLock::new();
    ALL.get_or_init(|| {
        let mut all = Vec::with_capacity(COUNT);
        all.extend_from_slice(layouts::SCENARIOS);
        all.extend_from_slice(content::SCENARIOS);
        all.extend_from_slice(times::SCENARIOS);
        all.extend_from_slice(damaged::SCENARIOS);
        all.extend_from_slice(files::SCENARIOS);
        all
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
    /// True for a disk, false for a `.dav` file.
    pub fn is_disk(&self) -> bool {
        self.name.starts_with("dahua")
    }

    /// Name of the image file.
    pub fn image_name(&self) -> String {
        format!("{}.{}", self.name, if self.is_disk() { "img" } else { "dav" })
    }

    /// Builds the image in memory.
    ///
    /// # Errors
    /// The plan does not fit, which is a mistake in the scenario.
    pub fn build(&self, seed: u64) -> Result<(Image, Truth), Error> {
        let (image, truth) = match (self.plan)(seed) {
            Plan::Disk(plan) => {
                let disk = write_disk(&plan)?;
                (disk.image, disk.truth)
            }
            Plan::Dav(plan) => write_dav(&plan)?,
            Plan::OldMpeg(start) => write_old_mpeg(start)?,
        };
        let (scenario, summary) = (self.name.into(), self.summary.into());
        Ok((image, Truth { scenario, summary, seed, image: self.image_name(), ..truth }))
    }

    /// Writes the image and `truth.json` into `dir`, which is made if it is missing.
    ///
    /// # Errors
    /// One of the two files exists already, or cannot be written.
    pub fn write(&self, dir: &Path, seed: u64) -> Result<Truth, Error> {
        let (image, truth) = self.build(seed)?;
        save(dir, &image, &truth)?;
        Ok(truth)
    }
}

/// Writes an image and its truth; replaces nothing.
pub(crate) fn save(dir: &Path, image: &Image, truth: &Truth) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|source| Error::io("make", dir, source))?;
    let path = dir.join(TRUTH_FILE);
    if path.exists() {
        let exists = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(Error::io("write", &path, exists));
    }
    image.save(&truth.image_path(dir))?;
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
