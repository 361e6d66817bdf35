//! What has to be said with an image, drawn from its own record (CU-9).

use jiff::Timestamp;

use crate::{
    journal::Event,
    record::{ImageJson, WriteBlocker},
};

/// Limitations in words, the gravest first.
pub(super) fn limitations(record: &ImageJson, faults: &[String]) -> Vec<String> {
    let mut said: Vec<String> =
        faults.iter().map(|fault| format!("NOT TRUSTED: {fault}")).collect();
    let holes = &record.acquisition.holes;
    if holes.not_acquired_bytes > 0 {
        said.push(format!(
            "{} bytes were not acquired, listed in image.map; the block list has zeros in their place, and there is no digest of the medium",
            holes.not_acquired_bytes
        ));
    }
    if holes.unreadable_bytes > 0 {
        said.push(format!(
            "{} sectors were unreadable, listed in image.map; digests are over zeros in their place",
            holes.unreadable_sectors
        ));
    }
    if holes.not_in_container > 0 {
        said.push(format!(
            "{} of the unreadable extents are in image.map alone: the error list of E01 has no numbers or no room for them",
            holes.not_in_container
        ));
    }
    for one in record.read_back.iter().filter(|one| !one.equal) {
        said.push(format!("the files in {} do not read back as they were written", one.folder));
    }
    if record.read_back.is_empty() {
        said.push("the files were not read back after they were written".to_owned());
    }
    match &record.write_blocker {
        WriteBlocker::NoneNamed => said.push("no write blocker was named".to_owned()),
        WriteBlocker::Given { .. } => {
            said.push(
                "the write blocker is as the operator gave it; nothing of it was checked"
                    .to_owned(),
            );
        }
        WriteBlocker::Bridge { covered_bytes, .. } => {
            let without = record.medium.bytes.saturating_sub(*covered_bytes);
            if without > 0 {
                said.push(format!(
                    "{without} bytes lie in megabytes without a digest of the bridge, listed in bridge/uncovered.txt"
                ));
            }
        }
    }
    if record.custody.is_none() {
        said.push("no custody record was made: the image belongs to no case".to_owned());
    }
    if record.host.clock.synchronised != Some(true) {
        said.push("that this computer's clock was right is not known".to_owned());
    }
    said
}

/// Time that earlier runs took, from their events; what a killed run did after its last event is not known and not counted.
pub(super) fn earlier_runs_ms(events: &[Event]) -> u64 {
    let mut total = 0_i64;
    let mut begun: Option<Timestamp> = None;
    let mut last: Option<Timestamp> = None;
    for event in events {
        let when = when(event).parse().ok();
        if matches!(event, Event::Begin { .. }) {
            total = total.saturating_add(between(begun, last));
            begun = when;
        }
        last = when;
    }
    u64::try_from(total).unwrap_or(0)
}

fn between(from: Option<Timestamp>, to: Option<Timestamp>) -> i64 {
    let both = from.zip(to);
    both.map_or(0, |(from, to)| to.as_millisecond().saturating_sub(from.as_millisecond()).max(0))
}

fn when(event: &Event) -> &str {
    match event {
        Event::Begin { when, .. }
        | Event::Phase { when, .. }
        | Event::Pause { when, .. }
        | Event::Reconnect { when, .. }
        | Event::Pass { when, .. } => when,
    }
}
