//! A small disk to show a tool on.

use std::path::Path;

use crate::audio::AudioCodec;
use crate::civil::Moment;
use crate::dhfs::{DiskPlan, PartitionPlan, RecordingPlan, write_disk};
use crate::footage::Footage;
use crate::image::Medium;
use crate::scenarios::{ALIGN_1_MIB, later, log_lines, save};
use crate::take::{Auxiliary, Event, Take};
use crate::truth::Truth;
use crate::{Error, dhfs};

const SEED: u64 = 2024;
/// 15.6 MiB: four partitions of 50 clusters or so.
const SECTORS: u64 = 32_003;
const HOUR_MS: i64 = 3_600_000;

/// Writes `demo.img` and `truth.json` into `dir`: four partitions, four cameras over a weekend in
/// March, H.264 and H.265, one camera with A-law sound, and the clock set forward by an hour
/// during the last night.
///
/// # Errors
/// One of the files exists already, or cannot be written.
pub fn demo_disk(dir: &Path) -> Result<Truth, Error> {
    let disk = write_disk(&plan())?;
    let truth = Truth {
        scenario: "demo".into(),
        summary: "four cameras over a weekend, two codecs, sound, one clock change".into(),
        seed: SEED,
        image: "demo.img".into(),
        ..disk.truth
    };
    save(dir, &Medium::Image(disk.image), &truth)?;
    Ok(truth)
}

fn plan() -> DiskPlan {
    let saturday = |hour, minute| Moment::at((2024, 3, 30), (hour, minute, 0));
    let sunday = |hour, minute| Moment::at((2024, 3, 31), (hour, minute, 0));
    let mut partitions = vec![
        partition(&[saturday(14, 0), saturday(15, 0)], 1),
        partition(&[saturday(18, 30), saturday(19, 0)], 1),
        // The night of the change to summer time.
        partition(&[sunday(1, 59)], 1),
        partition(&[saturday(9, 0), saturday(10, 0)], 0),
    ];
    for (n, recording) in partitions[2].recordings.iter_mut().enumerate() {
        recording.take.start = recording.take.start.plus_ms(57_000);
        // At 02:00:00 for every camera: each started 15 frames after the one before it.
        recording.take.events = vec![(75 - 15 * n, Event::ClockStep(HOUR_MS))];
    }
    partitions[0].log = log_lines(sunday(2, 0));
    DiskPlan {
        generation: later(SEED),
        sectors: SECTORS,
        alignment: ALIGN_1_MIB,
        partitions,
        damage: Vec::new(),
    }
}

/// The four cameras at each of the given times, 15 frames apart.
fn partition(starts: &[Moment], restarts: u32) -> dhfs::PartitionPlan {
    let cameras = [
        (Footage::Cam1, "Entrance"),
        (Footage::Cam2, "Yard"),
        (Footage::Cam5, "Store room"),
        (Footage::Cam6, "Loading bay"),
    ];
    let recordings = starts
        .iter()
        .flat_map(|start| cameras.iter().map(move |camera| (*start, *camera)))
        .enumerate()
        .map(|(n, (start, (footage, title)))| {
            recording(footage, title, start.plus_ms(n as i64 % 4 * 600))
        })
        .collect();
    PartitionPlan { restarts, recordings, ..PartitionPlan::default() }
}

fn recording(footage: Footage, title: &str, start: Moment) -> RecordingPlan {
    let mut take = Take::new(footage, start, 175, SEED);
    take.auxiliary = Some(Auxiliary { title: title.into(), json_every: 100 });
    if footage == Footage::Cam1 {
        take = take.with_audio(AudioCodec::ALaw, -60);
    }
    // The inputs of the recorder are 1 to 4, whatever stands in the picture.
    let channel = if footage.camera() > 4 { footage.camera() - 2 } else { footage.camera() };
    take.dhav_channel = channel - 1;
    RecordingPlan::new(channel, take)
}
