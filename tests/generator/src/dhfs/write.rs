//! Lays a [`DiskPlan`] out on an image, cluster by cluster in the order of recording time.

use std::collections::BTreeMap;

use super::recording::Laid;
use super::{
    BOOT_COPY, BOOT_SECTOR, BootValues, DESCRIPTOR_BYTES, DESCRIPTOR_SECTOR, Descriptor, DiskPlan,
    Generation, Layout, Open, PartitionPlan, RESERVED, SECTOR, Span, TABLE_SECTORS, boot_sector,
    damage, log_area, partition_spans, partition_table, superblock,
};
use crate::Error;
use crate::civil::Moment;
use crate::image::Image;
use crate::truth::{AudioFacts, Frame, LogEvent, Partition, Recording, SectorZero, Truth};

/// A disk in memory, with the truth about it.
pub struct WrittenDisk {
    /// The bytes.
    pub image: Image,
    /// The truth; scenario, summary, seed and image name are still empty.
    pub truth: Truth,
    /// The frames as written, in the order of the truth.
    pub(super) originals: Vec<Vec<Vec<u8>>>,
}

/// Writes a disk.
///
/// # Errors
/// [`Error::Plan`] when the plan does not fit on the disk.
pub fn write_disk(plan: &DiskPlan) -> Result<WrittenDisk, Error> {
    let mut disk = WrittenDisk {
        image: Image::new(plan.sectors * SECTOR as u64),
        truth: empty_truth(plan),
        originals: Vec::new(),
    };
    let spans = partition_spans(plan.sectors, plan.partitions.len() as u32, plan.alignment);
    disk.image.write(0, &superblock(&plan.generation))?;
    for sector in TABLE_SECTORS {
        disk.image.write(sector * SECTOR as u64, &partition_table(&spans))?;
    }
    for (index, (partition, span)) in plan.partitions.iter().zip(spans).enumerate() {
        PartitionWriter::new(index as u32, partition, span)?.write(&mut disk)?;
    }
    for edit in &plan.damage {
        damage::apply(edit, &mut disk)?;
    }
    mark_lost_frames(&mut disk);
    Ok(disk)
}

fn empty_truth(plan: &DiskPlan) -> Truth {
    let uuid = match &plan.generation {
        Generation::Early => None,
        Generation::Later { uuid } => Some(uuid.clone()),
    };
    let sector_zero =
        SectorZero { signature: Some("DHFS4.1".into()), marker: uuid.is_some(), uuid };
    Truth { sector_zero: Some(sector_zero), ..Truth::empty("dhfs", plan.sectors * SECTOR as u64) }
}

/// Compares every frame with the image, so that `intact` rests on the bytes and on nothing else.
fn mark_lost_frames(disk: &mut WrittenDisk) {
    let (image, damage) = (&disk.image, &disk.truth.damage);
    for (recording, originals) in disk.truth.recordings.iter_mut().zip(&disk.originals) {
        for (frame, original) in recording.frames.iter_mut().zip(originals) {
            if frame.intact && !holds(image, frame, original) {
                frame.intact = false;
                let done = damage.iter().find(|done| {
                    frame.extents.iter().any(|[offset, length]| {
                        *offset < done.offset + done.length && done.offset < offset + length
                    })
                });
                frame.reason = Some(match done {
                    Some(done) => done.what.clone(),
                    None => "overwritten by a newer recording".into(),
                });
            }
        }
    }
}

fn holds(image: &Image, frame: &Frame, original: &[u8]) -> bool {
    let mut rest = original;
    frame.extents.iter().all(|[offset, length]| {
        let (part, tail) = rest.split_at((*length as usize).min(rest.len()));
        rest = tail;
        image.read(*offset, part.len()) == part
    })
}

/// Which recording a cluster belongs to, and its place in the chain.
type Owner = (usize, usize);

struct PartitionWriter<'a> {
    index: u32,
    plan: &'a PartitionPlan,
    span: Span,
    layout: Layout,
    laid: Vec<Laid>,
    /// Owners of the clusters after the last write.
    owners: BTreeMap<u32, Owner>,
    last_written: u32,
}

impl<'a> PartitionWriter<'a> {
    fn new(index: u32, plan: &'a PartitionPlan, span: Span) -> Result<Self, Error> {
        let laid = plan
            .recordings
            .iter()
            .map(|recording| Laid::new(plan, recording))
            .collect::<Result<_, _>>()?;
        Ok(PartitionWriter {
            index,
            plan,
            span,
            layout: Layout::new(span.length, plan.sectors_per_cluster, plan.reserved),
            laid,
            owners: BTreeMap::new(),
            last_written: 0,
        })
    }

    fn write(mut self, disk: &mut WrittenDisk) -> Result<(), Error> {
        self.write_clusters(&mut disk.image)?;
        self.write_descriptors(&mut disk.image)?;
        self.write_boot_sectors(&mut disk.image)?;
        self.write_log(disk)?;
        disk.truth.partitions.push(self.partition_facts());
        for number in 0..self.laid.len() {
            disk.truth.recordings.push(self.recording_facts(number));
            let frames = &self.laid[number].frames;
            disk.originals.push(frames.iter().map(|frame| frame.bytes.clone()).collect());
        }
        Ok(())
    }

    fn start(&self) -> u64 {
        self.span.start * SECTOR as u64
    }

    fn cluster_bytes(&self) -> usize {
        self.plan.sectors_per_cluster as usize * SECTOR
    }

    fn cluster_offset(&self, cluster: u32) -> u64 {
        self.start()
            + u64::from(self.layout.data_start) * SECTOR as u64
            + u64::from(cluster) * self.cluster_bytes() as u64
    }

    /// Gives out clusters in the order in which their first byte was recorded, round the ring.
    fn write_clusters(&mut self, image: &mut Image) -> Result<(), Error> {
        let (bytes, reserved) = (self.cluster_bytes(), self.plan.reserved);
        let room = self.layout.clusters.saturating_sub(reserved);
        let ring = self.plan.ring_clusters.unwrap_or(room);
        let mut wanted: Vec<(i64, usize, usize)> = Vec::new();
        for (number, laid) in self.laid.iter().enumerate() {
            let clusters = 0..laid.cluster_count(bytes);
            wanted.extend(clusters.map(|k| (laid.written_ms(k * bytes), number, k)));
        }
        wanted.sort_unstable();
        let laps_allowed = self.plan.ring_clusters.is_some();
        if ring == 0 || ring > room || (!laps_allowed && wanted.len() > room as usize) {
            let need = wanted.len();
            return Err(Error::Plan(format!("partition needs {need} clusters, has {room}")));
        }
        for (n, (_, number, k)) in wanted.into_iter().enumerate() {
            let cluster = reserved + (self.plan.cursor + n as u32) % ring;
            self.laid[number].chain.push(cluster);
            self.owners.insert(cluster, (number, k));
            self.last_written = cluster;
            self.write_cluster(image, cluster, (number, k))?;
        }
        Ok(())
    }

    fn write_cluster(&self, image: &mut Image, cluster: u32, owner: Owner) -> Result<(), Error> {
        let laid = &self.laid[owner.0];
        let from = owner.1 * self.cluster_bytes();
        let to = (from + self.cluster_bytes()).min(laid.bytes.len());
        let base = self.cluster_offset(cluster);
        for part in [from..to.min(laid.hole.start), from.max(laid.hole.end)..to] {
            if part.start < part.end {
                let at = base + (part.start - from) as u64;
                image.write(at, &laid.bytes[part])?;
            }
        }
        Ok(())
    }

    fn write_descriptors(&self, image: &mut Image) -> Result<(), Error> {
        let table = self.start() + u64::from(DESCRIPTOR_SECTOR) * SECTOR as u64;
        let at = |cluster: u32| table + u64::from(cluster) * DESCRIPTOR_BYTES as u64;
        for cluster in 0..self.plan.reserved {
            image.write(at(cluster), &RESERVED)?;
        }
        for (&cluster, &owner) in &self.owners {
            image.write(at(cluster), &self.descriptor(owner).encode())?;
        }
        Ok(())
    }

    fn descriptor(&self, (number, k): Owner) -> Descriptor {
        let (laid, plan) = (&self.laid[number], &self.plan.recordings[number]);
        let (begin, end) = self.descriptor_dates(number, k);
        let last = k + 1 == laid.chain.len();
        let open = plan.open.is_some();
        let continuations = match plan.open {
            Some(Open::EndIsBegin) => 0,
            _ => laid.chain.len() - 1,
        };
        Descriptor {
            head: k == 0,
            channel: plan.channel,
            nibble: plan.nibble.unwrap_or(if plan.take.audio.is_some() { 3 } else { 2 }),
            extended: plan.extended,
            count: if k == 0 { continuations } else { k } as u16,
            begin: Descriptor::date(begin),
            end: Descriptor::date(end),
            next: if last { 0 } else { laid.chain[k + 1] },
            tail_sectors: match k {
                _ if open => 0,
                0 => self.tail_sectors(laid),
                _ if last && self.plan.repeat_tail => self.tail_sectors(laid),
                _ => 0,
            },
            previous: if k == 0 { 0 } else { laid.chain[k - 1] },
            own: laid.chain[0],
        }
    }

    fn tail_sectors(&self, laid: &Laid) -> u32 {
        let used = laid.bytes.len() - (laid.chain.len() - 1) * self.cluster_bytes();
        used.div_ceil(SECTOR) as u32
    }

    fn descriptor_dates(&self, number: usize, k: usize) -> (Option<Moment>, Option<Moment>) {
        let laid = &self.laid[number];
        let (begin, end) = laid.dates();
        if k > 0 && !self.plan.whole_dates {
            let from = k * self.cluster_bytes();
            return laid.dates_within(from, from + self.cluster_bytes());
        }
        match self.plan.recordings[number].open {
            None => (begin, end),
            Some(Open::EndIsBegin) => (begin, begin),
            Some(Open::EndBeforeBegin) => (begin, begin.map(|at| at.plus_ms(-86_400_000))),
            Some(Open::ZeroEnd) => (begin, None),
        }
    }

    fn listed(&self, number: usize) -> bool {
        let head = self.laid[number].chain.first();
        head.and_then(|head| self.owners.get(head)) == Some(&(number, 0))
    }

    fn write_boot_sectors(&self, image: &mut Image) -> Result<(), Error> {
        let listed = || (0..self.laid.len()).filter(|number| self.listed(*number));
        let values = BootValues {
            restarts: self.plan.restarts,
            earliest: listed().filter_map(|n| self.descriptor_dates(n, 0).0).min(),
            latest: listed().filter_map(|n| self.descriptor_dates(n, 0).1).max(),
            last_written: self.last_written,
            formatted: self.formatted(),
            data_start_shift: self.plan.data_start_shift,
        };
        let sector = boot_sector(&self.layout, &values);
        for number in [BOOT_SECTOR, BOOT_COPY] {
            image.write(self.start() + u64::from(number) * SECTOR as u64, &sector)?;
        }
        Ok(())
    }

    fn formatted(&self) -> Moment {
        let first = self.plan.log.first().map(|line| line.at);
        first.unwrap_or(Moment::at((2018, 6, 6), (16, 0, 34)))
    }

    fn log_offset(&self) -> u64 {
        self.start() + u64::from(self.layout.log().0) * SECTOR as u64
    }

    fn write_log(&self, disk: &mut WrittenDisk) -> Result<(), Error> {
        let (area, places) = log_area(&self.plan.log);
        if area.len() > self.layout.log().1 as usize * SECTOR {
            return Err(Error::Plan(format!("log of {} bytes is too long", area.len())));
        }
        let base = self.log_offset();
        disk.image.write(base, &area)?;
        let events = self.plan.log.iter().zip(places).map(|(line, (at, length))| LogEvent {
            partition: self.index,
            time: line.at.second_text(),
            level: line.level.into(),
            text: line.text.clone(),
            extent: [base + at as u64, length as u64],
        });
        disk.truth.events.extend(events);
        Ok(())
    }

    fn partition_facts(&self) -> Partition {
        let shifted = self.layout.data_start.wrapping_add_signed(self.plan.data_start_shift);
        Partition {
            index: self.index,
            start: self.start(),
            length: u64::from(self.span.length) * SECTOR as u64,
            data_start: self.cluster_offset(0),
            stored_data_start_sector: shifted,
            cluster_bytes: self.cluster_bytes() as u64,
            clusters: self.layout.clusters,
            reserved: self.plan.reserved,
            descriptors: self.start() + u64::from(DESCRIPTOR_SECTOR) * SECTOR as u64,
            log: self.log_offset(),
        }
    }

    fn recording_facts(&self, number: usize) -> Recording {
        let (laid, plan) = (&self.laid[number], &self.plan.recordings[number]);
        let (begin, end) = self.descriptor_dates(number, 0);
        let listed = self.listed(number);
        let open = plan.open.map(|_| "left open by a power cut".to_owned());
        let head = laid.chain.first().copied();
        Recording {
            listed,
            reason: if listed {
                open
            } else {
                Some("its head cluster was reused by a newer recording".into())
            },
            partition: Some(self.index),
            head_cluster: head,
            chain: laid.chain.clone(),
            channel: Some(u32::from(plan.channel)),
            descriptor_begin: begin.map(Moment::second_text),
            descriptor_end: end.map(Moment::second_text),
            codec: Some(plan.take.footage.codec().name().into()),
            size: Some(plan.take.footage.size()),
            audio: plan.take.audio.map(AudioFacts::from),
            index: head.map(|head| [self.cluster_offset(head), u64::from(self.plan.index.length)]),
            frames: laid.facts(self.cluster_bytes(), |cluster| self.cluster_offset(cluster)),
            ..Recording::new(format!("p{}-{number:02}", self.index))
        }
    }
}
