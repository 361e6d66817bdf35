//! Places streams in blocks, and their key-frame index in the tails.
//!
//! Facts: `docs/formats/hikvision.md`, sections 4 (block), 4.1 (records) and 4.2 (tails).

use super::geometry::Geometry;
use super::{DiskPlan, Place, RecordingPlan, Tail};
use crate::Error;
use crate::civil::Moment;
use crate::hikvision::{
    DIRECTORY_BYTES, DIRECTORY_PAGE, KeyRecord, RECORD_BYTES, StreamUnit, build, directory_header,
    directory_page,
};
use crate::image::Image;
use crate::truth::{Extent, FrameKind};

/// The part of a recording that lies in one block.
#[derive(Debug, Clone)]
pub(super) struct Fragment {
    /// Number of the recording in the plan.
    pub recording: usize,
    /// Number of the block.
    pub block: u32,
    /// Channel, from 1.
    pub channel: u8,
    /// First byte on the disk of every unit.
    pub units: Vec<(u64, StreamUnit)>,
    /// Records of the key-frame index: place, bytes, and the number of the unit.
    pub keys: Vec<PlacedKey>,
    /// True where the entry is left open.
    pub open: bool,
    /// False where the block was reused or the disk initialised since.
    pub live: bool,
    /// The fragment in the block before, which goes on here.
    pub continues: Option<usize>,
    /// Header in front of the first unit.
    pub head: Option<Extent>,
}

/// A record of the key-frame index.
#[derive(Debug, Clone)]
pub(super) struct PlacedKey {
    pub at: u64,
    pub bytes: [u8; RECORD_BYTES],
    pub record: KeyRecord,
    pub unit: usize,
}

impl Fragment {
    /// Clocks of the first video frame and the highest one; the latter is the last where the clock
    /// was not set back.
    pub fn times(&self) -> (Moment, Moment) {
        let clocks: Vec<Moment> = self
            .units
            .iter()
            .filter(|(_, unit)| unit.kind == FrameKind::Video)
            .map(|(_, unit)| unit.clock)
            .collect();
        let none = Moment::at((2000, 1, 1), (0, 0, 0));
        let first = clocks.first().copied().unwrap_or(none);
        (first, clocks.iter().copied().max().unwrap_or(none))
    }
}

/// What a block holds at the moment.
#[derive(Debug, Clone, Default)]
struct Block {
    /// Next free byte, from the start of the block.
    used: u64,
    /// Bytes of key-frame index.
    index: u64,
    /// Fragments, in order.
    fragments: Vec<usize>,
}

/// Fills the blocks of a disk.
pub(super) struct Blocks<'a> {
    plan: &'a DiskPlan,
    geometry: &'a Geometry,
    blocks: Vec<Block>,
    /// All fragments, in the order in which they were begun.
    pub fragments: Vec<Fragment>,
    /// Block directories.
    pub directories: Vec<(Extent, Vec<u8>)>,
}

impl<'a> Blocks<'a> {
    pub fn new(plan: &'a DiskPlan, geometry: &'a Geometry) -> Self {
        Blocks {
            plan,
            geometry,
            blocks: vec![Block::default(); plan.blocks as usize],
            fragments: Vec::new(),
            directories: Vec::new(),
        }
    }

    /// Writes all recordings of the plan.
    pub fn write(&mut self, image: &mut Image) -> Result<(), Error> {
        for (number, plan) in self.plan.recordings.iter().enumerate() {
            self.write_recording(number, plan, image)?;
        }
        for fragment in &mut self.fragments {
            fragment.live &= !self.plan.recordings[fragment.recording].before_format;
        }
        self.write_directories(image)
    }

    fn write_recording(
        &mut self,
        number: usize,
        plan: &RecordingPlan,
        image: &mut Image,
    ) -> Result<(), Error> {
        let stream = build(&plan.stream);
        let mut places = plan.places.iter();
        let mut current: Option<usize> = None;
        for group in groups(&stream.units) {
            while !current.is_some_and(|fragment| self.fits(fragment, group, &stream.head, plan)) {
                let fresh =
                    current.is_some_and(|fragment| self.fragments[fragment].units.is_empty());
                match places.next() {
                    Some(place) if !fresh => {
                        current = Some(self.begin(number, plan.channel, *place, current));
                    }
                    None if plan.until_full => return self.end(plan, current),
                    _ => {
                        let left = format!("recording {number} does not fit into its blocks");
                        return Err(Error::Plan(left));
                    }
                }
            }
            if let Some(fragment) = current {
                self.write_group(fragment, group, &stream.head, image)?;
            }
        }
        self.end(plan, current)
    }

    fn end(&mut self, plan: &RecordingPlan, current: Option<usize>) -> Result<(), Error> {
        if let Some(fragment) = current {
            self.fragments[fragment].open = plan.open;
        }
        Ok(())
    }

    /// Begins a fragment in a block.
    fn begin(&mut self, recording: usize, channel: u8, place: Place, last: Option<usize>) -> usize {
        let block = &mut self.blocks[place.block as usize];
        if place.reuse {
            block.fragments.iter().for_each(|old| self.fragments[*old].live = false);
            *block = Block::default();
        }
        let number = self.fragments.len();
        block.fragments.push(number);
        self.fragments.push(Fragment {
            recording,
            block: place.block,
            channel,
            units: Vec::new(),
            keys: Vec::new(),
            open: false,
            live: true,
            continues: last,
            head: None,
        });
        number
    }

    /// Bytes from the start of a block that video may take, key-frame index and directory apart.
    fn room(&self) -> u64 {
        match self.plan.tail {
            Tail::A | Tail::Absent => self.plan.block_bytes,
            Tail::B { .. } => self.plan.block_bytes.saturating_sub(DIRECTORY_BYTES),
        }
    }

    /// End of the key-frame index, from the start of a block.
    fn index_end(&self) -> u64 {
        match self.plan.tail {
            Tail::B { records_at_end: false } => self.room(),
            _ => self.plan.block_bytes,
        }
    }

    fn fits(
        &self,
        fragment: usize,
        group: &[StreamUnit],
        head: &[u8],
        plan: &RecordingPlan,
    ) -> bool {
        let fragment = &self.fragments[fragment];
        let block = &self.blocks[fragment.block as usize];
        let bytes: usize = group.iter().map(|unit| unit.bytes.len()).sum();
        let head = if fragment.units.is_empty() { head.len() } else { 0 };
        let from = fragment
            .units
            .first()
            .map_or(block.used, |(at, _)| at - self.geometry.block(fragment.block));
        let end = block.used + (head + bytes) as u64;
        let index = match self.plan.tail {
            Tail::A | Tail::B { records_at_end: false } => block.index + RECORD_BYTES as u64,
            _ => 0,
        };
        end + index <= self.room() && plan.block_limit.is_none_or(|limit| end - from <= limit)
    }

    fn write_group(
        &mut self,
        number: usize,
        group: &[StreamUnit],
        head: &[u8],
        image: &mut Image,
    ) -> Result<(), Error> {
        let index_end = self.index_end();
        let wide_channel = self.plan.variants.wide_channel;
        let fragment = &mut self.fragments[number];
        let block = &mut self.blocks[fragment.block as usize];
        let start = self.geometry.block(fragment.block);
        if fragment.units.is_empty() && !head.is_empty() {
            image.write(start + block.used, head)?;
            fragment.head = Some([start + block.used, head.len() as u64]);
            block.used += head.len() as u64;
        }
        for unit in group {
            let at = start + block.used;
            image.write(at, &unit.bytes)?;
            block.used += unit.bytes.len() as u64;
            if unit.key && self.plan.tail != Tail::Absent {
                let target =
                    fragment.head.filter(|_| fragment.keys.is_empty()).map_or(at, |h| h[0]);
                let record = KeyRecord {
                    number: unit.counter,
                    channel: fragment.channel,
                    time: unit.stored.map_or(unit.clock, |(time, _)| time),
                    pts: unit.pts,
                    offset: (target - start) as u32,
                    length: unit.bytes.len() as u32,
                };
                block.index += RECORD_BYTES as u64;
                let place = start + index_end - block.index;
                let bytes = record.encode(wide_channel);
                image.write(place, &bytes)?;
                let unit = fragment.units.len();
                fragment.keys.push(PlacedKey { at: place, bytes, record, unit });
            }
            fragment.units.push((at, unit.clone()));
        }
        Ok(())
    }

    /// Writes a directory into every block that holds a current fragment.
    fn write_directories(&mut self, image: &mut Image) -> Result<(), Error> {
        if !matches!(self.plan.tail, Tail::B { .. }) {
            return Ok(());
        }
        for (number, block) in self.blocks.iter().enumerate() {
            let fragments: Vec<&Fragment> =
                block.fragments.iter().map(|n| &self.fragments[*n]).collect();
            let (Some(first), Some(last)) = (fragments.first(), fragments.last()) else { continue };
            let start = self.geometry.block(number as u32);
            let times = (first.times().0, last.times().1);
            let mut bytes = directory_header(first.channel, start, times).to_vec();
            for fragment in &fragments {
                let places = fragment.keys.iter().map(|key| (key.at - start) as u32);
                let bounds = (
                    places.clone().min().unwrap_or(0),
                    places.max().unwrap_or(0) + RECORD_BYTES as u32,
                );
                bytes.extend(directory_page(fragment.channel, fragment.times(), bounds));
            }
            let at = start + self.room();
            // The page behind the last segment is zero.
            bytes.extend([0; DIRECTORY_PAGE]);
            image.write(at, &bytes)?;
            self.directories.push(([at, bytes.len() as u64], bytes));
        }
        Ok(())
    }
}

/// Groups that begin with a key frame; the first may begin in mid-group.
fn groups(units: &[StreamUnit]) -> Vec<&[StreamUnit]> {
    let mut starts: Vec<usize> = (1..units.len()).filter(|n| units[*n].key).collect();
    starts.insert(0, 0);
    starts.push(units.len());
    starts.windows(2).map(|pair| &units[pair[0]..pair[1]]).collect()
}
