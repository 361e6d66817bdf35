//! A DHFS 4.1 disk: its partitions and the recordings their descriptors list.
//!
//! Facts: `docs/formats/dahua.md` sections 1 and 8 (the parse procedure).

use daleel_core::{
    CivilTime, Extent, ExtentMap, FindingKind, Findings, FormatError, FrameParser, Grade, Input,
    LogEvent, Reason, Recorder, Recording, RecordingState, StoredValue, Stream, Structure, Verdict,
    Volume,
};

use super::{
    chain::Chain,
    describe,
    layout::{Boot, Descriptor, DescriptorType, IndexHead, SECTOR_BYTES, parse_index_entries},
    log,
    partition::{Partition, Place},
    stream::{Bounds, DhavParser, UnprovenHead},
    table::{self, FoundBy},
    time::decode_date,
    unit::{HEADER_BYTES, Header},
};

/// Name of the family.
pub const FAMILY: &str = "dahua-disk";

/// Opens a DHFS disk.
///
/// # Errors
/// When no partition of it can be opened.
pub fn open(input: Input, verdict: &Verdict) -> Result<Box<dyn Recorder>, FormatError> {
    let whole = Extent::new(0, 0);
    let Input::Volume(volume) = input else {
        return Err(FormatError::field(
            "DHFS disk",
            whole,
            "input",
            "a tree of files",
            "a disk or image",
        ));
    };
    let volume = Volume { source: volume.source, extent: verdict.extent };
    let mut findings = Findings::default();
    let not_found = || {
        FormatError::field(
            "DHFS disk",
            volume.extent,
            "partitions",
            "none",
            "a partition table or boot sectors",
        )
    };
    let found = table::find(&volume, &mut findings).ok_or_else(not_found)?;
    let mut partitions: Vec<Partition> = Vec::new();
    let mut unopened = Vec::new();
    // Partitions with a boot sector first: their cluster size helps where a boot sector is missing.
    let (sound, rest): (Vec<Place>, Vec<Place>) = found
        .places
        .iter()
        .copied()
        .partition(|place| table::has_boot(&volume, place.start, Some(place.boot_sector)));
    for place in sound.into_iter().chain(rest) {
        let hint = partitions.first().map(|partition| partition.geometry.cluster_sectors);
        match Partition::open(&volume, place, hint, &mut findings) {
            Ok(partition) => partitions.push(partition),
            Err(error) => unopened.push(error),
        }
    }
    partitions.sort_by_key(|partition| partition.place.index);
    for error in unopened {
        findings.add(error.into());
    }
    if partitions.is_empty() {
        return Err(not_found());
    }
    let mut disk =
        Dhfs { verdict: verdict.clone(), volume, partitions, found_by: found.by, findings };
    disk.note_truncation();
    disk.note_empty();
    disk.note_headless();
    Ok(Box::new(disk))
}

/// An opened DHFS disk.
pub struct Dhfs {
    verdict: Verdict,
    pub(super) volume: Volume,
    pub(super) partitions: Vec<Partition>,
    found_by: FoundBy,
    findings: Findings,
}

impl Dhfs {
    /// A truncated image is read as far as it goes; what is missing is said.
    fn note_truncation(&mut self) {
        let end = self.volume.source.len();
        for partition in &self.partitions {
            let stated = partition.extent();
            if stated.end() > end {
                let missing = Extent::new(
                    stated.offset().max(end),
                    stated.end().saturating_sub(stated.offset().max(end)),
                );
                self.findings.note(
                    FindingKind::Hole,
                    missing,
                    format!(
                        "partition {} reaches to byte {}, the image ends at {end}: {} bytes are missing",
                        partition.place.index,
                        stated.end(),
                        missing.len()
                    ),
                );
            }
        }
    }

    /// A partition whose boot sector names recordings and whose table lists none was formatted, or its table is gone.
    fn note_empty(&mut self) {
        for partition in &self.partitions {
            let dates = partition.boot.as_ref().and_then(|(boot, _)| {
                Some((decode_date(boot.earliest)?, decode_date(boot.latest)?))
            });
            let Some((from, to)) = dates.filter(|_| partition.heads().next().is_none()) else {
                continue;
            };
            self.findings.note(
                FindingKind::NotListed,
                partition.table_extent(),
                format!(
                    "partition {}: the boot sector names recordings from {from} to {to}, the descriptor table lists none: formatted, \
                     or the table is gone",
                    partition.place.index
                ),
            );
        }
    }

    /// Counts clusters that belong to no listed recording but were part of one.
    fn note_headless(&mut self) {
        for partition in &self.partitions {
            let mut listed =
                vec![false; usize::try_from(partition.geometry.cluster_count).unwrap_or(0)];
            for (head, descriptor) in partition.heads() {
                for cluster in Chain::follow(partition, head, descriptor).clusters {
                    if let Some(slot) =
                        usize::try_from(cluster).ok().and_then(|c| listed.get_mut(c))
                    {
                        *slot = true;
                    }
                }
            }
            let mut headless = 0u32;
            let mut first = None;
            for (cluster, _) in (0u32..).zip(&listed).filter(|(_, listed)| !**listed) {
                let is_part = partition
                    .descriptor(cluster)
                    .is_some_and(|d| d.descriptor_type() == DescriptorType::Continuation);
                if is_part {
                    headless = headless.saturating_add(1);
                    first = first.or(Some(cluster));
                }
            }
            if let Some(first) = first {
                self.findings.note(
                    FindingKind::NotListed,
                    partition.descriptor_extent(first),
                    format!(
                        "partition {}: {headless} clusters hold parts of recordings whose head is gone; they are no longer listed \
                         and not extracted here",
                        partition.place.index
                    ),
                );
            }
        }
    }

    fn recording(&self, partition: &Partition, head: u32, descriptor: &Descriptor) -> Recording {
        let at = partition.descriptor_extent(head);
        let chain = Chain::follow(partition, head, descriptor);
        let start = decode_date(descriptor.begin.get());
        let stated_end = decode_date(descriptor.end.get());
        let latest = partition.boot.as_ref().and_then(|(boot, _)| decode_date(boot.latest));
        let is_after_all =
            latest.zip(stated_end).is_some_and(|(latest, end)| end > latest.plus_millis(2000));
        let is_open = match (start, stated_end) {
            (Some(start), Some(end)) => end <= start || is_after_all,
            _ => true,
        };
        let mut reasons = vec![Reason::supporting(
            format!("partition {}: head descriptor of cluster {head}", partition.place.index),
            at,
        )];
        reasons.push(channel_reason(descriptor, at));
        if is_open {
            let against =
                if is_after_all { "the latest date of the boot sector" } else { "the begin date" };
            let relation = if is_after_all { "lies behind" } else { "is not after" };
            let text = format!(
                "the end date {:08x} {relation} {against}: the recording was not closed",
                descriptor.end.get()
            );
            reasons.push(Reason::against(text, at.slice(4, 8).unwrap_or(at)));
        }
        if descriptor.kind == 0x03 {
            reasons.push(Reason::supporting(
                "descriptor type 03: taken as a head (single source)",
                at,
            ));
        }
        reasons.extend(chain.reasons.iter().cloned());
        let state = if chain.conflict {
            RecordingState::Conflict
        } else if is_open {
            RecordingState::Open
        } else {
            RecordingState::Closed
        };
        Recording {
            id: format!("dhfs-p{}-c{head}", partition.place.index),
            channel: descriptor.channel_number(),
            stream: 0,
            start,
            end: stated_end,
            stored: vec![
                StoredValue::new(
                    "begin",
                    at.offset().saturating_add(4),
                    &descriptor.begin.get().to_le_bytes(),
                ),
                StoredValue::new(
                    "end",
                    at.offset().saturating_add(8),
                    &descriptor.end.get().to_le_bytes(),
                ),
            ],
            kind: None,
            bytes: chain.bytes(partition.cluster_bytes()),
            state,
            grade: if chain.conflict { Grade::IndexConflict } else { Grade::Indexed },
            reasons,
            index_entry: Some(at),
            first_byte: Some(partition.cluster_extent(head).offset()),
            file: None,
            index_file: None,
            handle: (partition.place.index as u64) << 32 | u64::from(head),
        }
    }

    /// The partition and head of a recording that this disk made.
    pub(super) fn resolve(
        &self,
        recording: &Recording,
    ) -> Result<(&Partition, u32, &Descriptor), FormatError> {
        let missing = || {
            let at = recording.index_entry.unwrap_or(self.volume.extent);
            FormatError::field(
                Descriptor::NAME,
                at,
                "recording",
                &recording.id,
                "a head on this disk",
            )
        };
        let index = usize::try_from(recording.handle >> 32).map_err(|_| missing())?;
        let head = u32::try_from(recording.handle & u64::from(u32::MAX)).map_err(|_| missing())?;
        let partition = self
            .partitions
            .iter()
            .find(|partition| partition.place.index == index)
            .ok_or_else(missing)?;
        let descriptor = partition.descriptor(head).ok_or_else(missing)?;
        Ok((partition, head, descriptor))
    }

    /// The clusters of a recording joined, cut at the used part of the last one; and whether that end is certain.
    fn map(partition: &Partition, chain: &Chain) -> (ExtentMap, Option<u64>) {
        let mut map = ExtentMap::default();
        for cluster in &chain.clusters {
            map.push(partition.cluster_extent(*cluster));
        }
        let length = chain.bytes(partition.cluster_bytes());
        let open_end = chain
            .last_sectors
            .is_none()
            .then(|| map.len().saturating_sub(partition.cluster_bytes()));
        (map.truncated(length), open_end)
    }

    /// Where the first frame of a recording lies (section 1.6).
    fn first_frame(partition: &Partition, map: &ExtentMap, descriptor: &Descriptor) -> FirstFrame {
        let source = &partition.volume().source;
        let peek = |offset: u64, length: u64| {
            let extents = map.map(offset..offset.saturating_add(length));
            extents.first().and_then(|extent| source.read(*extent).ok())
        };
        let head_at = map.map(0..SECTOR_BYTES).first().copied().unwrap_or(partition.extent());
        let index = peek(0, SECTOR_BYTES)
            .and_then(|sector| Some((IndexHead::parse(&sector, head_at).ok()?, sector)));
        let Some((index, sector)) = index else { return FirstFrame::Unproven(0) };
        let listed = index.key_frames().and_then(|(offset, _)| {
            let entries = sector.get(usize::try_from(offset).ok()?..)?;
            parse_index_entries(entries).1.first().map(|entry| u64::from(entry.offset))
        });
        let begin = decode_date(descriptor.begin.get());
        let dated = |offset: u64| {
            let header = peek(offset, HEADER_BYTES as u64).and_then(|bytes| Header::parse(&bytes));
            header.filter(Header::is_valid).map(|header| near(decode_date(header.date), begin))
        };
        let (stated, second) = (u64::from(index.length), partition.cluster_bytes());
        match (dated(stated), dated(second)) {
            (Some(true), _) => FirstFrame::At(stated),
            // The head cluster holds older footage behind the index: frames begin in the second cluster, by their date or, where a
            // camera's clock differs from the recorder's, by the index.
            (Some(false) | None, Some(is_near))
                if stated < second && (is_near || listed >= Some(second)) =>
            {
                FirstFrame::At(second)
            }
            (Some(false), _) => FirstFrame::At(stated),
            (None, _) => FirstFrame::Unproven(stated),
        }
    }
}

/// Where the first frame of a recording lies.
enum FirstFrame {
    /// Here, by the index and the unit found there.
    At(u64),
    /// Somewhere behind this: the index is damaged.
    Unproven(u64),
}

/// True when a frame's date fits the begin of its recording, or nothing can be compared.
fn near(date: Option<CivilTime>, begin: Option<CivilTime>) -> bool {
    match (date, begin) {
        (Some(date), Some(begin)) => date.millis().abs_diff(begin.millis()) <= 120_000,
        _ => true,
    }
}

fn channel_reason(descriptor: &Descriptor, at: Extent) -> Reason {
    let extended = at.slice(0x1D, 3).unwrap_or(at);
    match (descriptor.channel_number(), descriptor.has_extended_channel()) {
        (Some(channel), true) => Reason::supporting(
            format!("channel {channel} from the extended channel field (single source)"),
            extended,
        ),
        (Some(channel), false) => Reason::supporting(
            format!("channel {channel} from the low half of byte 0x{:02x}", descriptor.channel),
            at.slice(1, 1).unwrap_or(at),
        ),
        (None, _) => Reason::against(
            "the extended channel field is said to be valid and holds 0: the channel is unknown",
            extended,
        ),
    }
}

impl Recorder for Dhfs {
    fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    fn facts(&self) -> Vec<(String, String)> {
        let mut facts = vec![(
            "partitions found by".to_owned(),
            match self.found_by {
                FoundBy::Table(sector) => format!("partition table at sector {sector}"),
                FoundBy::Geometry(alignment) => {
                    format!("geometry rule, alignment {alignment} sectors")
                }
                FoundBy::Scan => "boot sectors on the 1 MiB grid".to_owned(),
            },
        )];
        for partition in &self.partitions {
            let geometry = &partition.geometry;
            let dates = |boot: &Boot| {
                let text =
                    |raw| decode_date(raw).map_or("none".to_owned(), CivilTime::to_seconds_text);
                format!(
                    ", recordings from {} to {} (recorder time)",
                    text(boot.earliest),
                    text(boot.latest)
                )
            };
            facts.push((
                format!("partition {}", partition.place.index),
                format!(
                    "sectors {} to {}, {} clusters of {} KiB ({} reserved), data area at sector {}{}",
                    partition.place.start,
                    partition.place.start.saturating_add(partition.place.sectors),
                    geometry.cluster_count,
                    partition.cluster_bytes() / 1024,
                    geometry.reserved_clusters,
                    geometry.data_sector,
                    partition.boot.as_ref().map(|(boot, _)| dates(boot)).unwrap_or_default(),
                ),
            ));
        }
        facts
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }

    fn recordings(&self) -> Box<dyn Iterator<Item = Result<Recording, FormatError>> + '_> {
        Box::new(self.partitions.iter().flat_map(move |partition| {
            (0..partition.geometry.cluster_count).filter_map(move |cluster| {
                let descriptor = partition.descriptor(cluster)?;
                match descriptor.descriptor_type() {
                    DescriptorType::Head => {
                        Some(Ok(self.recording(partition, cluster, descriptor)))
                    }
                    DescriptorType::Other(kind) => Some(Err(FormatError::field(
                        Descriptor::NAME,
                        partition.descriptor_extent(cluster),
                        "type",
                        format!("{kind:02x} (cluster {cluster})"),
                        "00, 01, 02, 03 or fe",
                    ))),
                    _ => None,
                }
            })
        }))
    }

    fn stream(&self, recording: &Recording) -> Result<Stream, FormatError> {
        let (partition, head, descriptor) = self.resolve(recording)?;
        let chain = Chain::follow(partition, head, descriptor);
        let (map, _) = Self::map(partition, &chain);
        Ok(Stream { source: self.volume.source.clone(), map, reasons: Vec::new(), conflict: None })
    }

    fn native_extension(&self, _recording: &Recording) -> &'static str {
        "dav"
    }

    fn parser(&self, recording: &Recording) -> Box<dyn FrameParser> {
        let bounds = self.resolve(recording).map(|(partition, head, descriptor)| {
            let chain = Chain::follow(partition, head, descriptor);
            let (map, open_end_from) = Self::map(partition, &chain);
            let begin = decode_date(descriptor.begin.get());
            let end = decode_date(descriptor.end.get()).filter(|end| Some(*end) > begin);
            let first = Self::first_frame(partition, &map, descriptor);
            let (first_frame, unproven_head) = match first {
                FirstFrame::At(offset) => (offset, None),
                FirstFrame::Unproven(offset) => {
                    let until = partition.cluster_bytes();
                    (offset, begin.map(|from| UnprovenHead { until, from, to: end }))
                }
            };
            Bounds { first_frame, open_end_from, unproven_head }
        });
        Box::new(DhavParser::new(bounds.unwrap_or_default()))
    }

    fn events(&self) -> Box<dyn Iterator<Item = Result<LogEvent, FormatError>> + '_> {
        Box::new(self.partitions.iter().flat_map(log::events))
    }

    fn describe(&self, offset: u64, _file: Option<&str>) -> Result<Vec<Structure>, FormatError> {
        describe::disk(self, offset)
    }
}
