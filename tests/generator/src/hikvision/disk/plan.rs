//! What a disk holds.

use super::Damage;
use crate::civil::Moment;
use crate::hikvision::{LogLine, StreamPlan, TreeShape};

/// The plan of a disk.
#[derive(Debug, Clone)]
pub struct DiskPlan {
    /// Bytes of a data block; a power of two.
    pub block_bytes: u64,
    /// Number of data blocks.
    pub blocks: u32,
    /// Time of initialisation.
    pub initialised: Moment,
    /// Recordings in the order in which they are written.
    pub recordings: Vec<RecordingPlan>,
    /// Blocks that the recorder has reserved: state of a used block, channel 255.
    pub reserved: Vec<u32>,
    /// Layout of the block tails.
    pub tail: Tail,
    /// Where the two readings of the sources differ.
    pub variants: Variants,
    /// Records of log areas 1 and 2; start and stop of every recording are added to the second.
    pub log: [Vec<LogLine>; 2],
    /// Differences between the two copies of the tree.
    pub tree_edits: Vec<TreeEdit>,
    /// Damage, done after writing.
    pub damage: Vec<Damage>,
}

/// What one camera delivers, and the blocks that take it.
///
/// Every block gets an entry of its own. A group of pictures never goes on in the next block.
#[derive(Debug, Clone)]
pub struct RecordingPlan {
    /// Channel, from 1.
    pub channel: u8,
    /// The stream.
    pub stream: StreamPlan,
    /// Blocks in order.
    pub places: Vec<Place>,
    /// Bytes of stream that go into a block at most.
    pub block_limit: Option<u64>,
    /// True where the last entry is left open.
    pub open: bool,
    /// True where the stream ends when its blocks are full; otherwise that is a mistake in the plan.
    pub until_full: bool,
    /// True where the disk was initialised afterwards, so that no entry is left.
    pub before_format: bool,
}

/// A block that takes a part of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the block, from 0.
    pub block: u32,
    /// True where it is written from its start again and loses its entries; false where the part
    /// comes behind what the block holds already.
    pub reuse: bool,
}

/// Layout of the block tails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Records of the key-frame index from the end of the block downwards.
    A,
    /// A directory in the last MiB of the block.
    B {
        /// True where the records lie at the end of the directory, false where they lie below it.
        records_at_end: bool,
    },
    /// No key-frame index.
    Absent,
}

/// Points on which the sources are read differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variants {
    /// Form of the trees.
    pub tree: TreeShape,
    /// True where records of the key-frame index hold the channel as big-endian 16 bits.
    pub wide_channel: bool,
    /// Bytes between the copies of the tree.
    pub tree_gap: u64,
    /// True where master +0x70 and +0x80 are zero.
    pub zero_master_fields: bool,
    /// True where the master knows one log area only.
    pub one_log_area: bool,
    /// True where the backup master lies elsewhere between logs and video.
    pub backup_elsewhere: bool,
}

/// A difference between the two copies of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeEdit {
    /// Number of the copy that differs, 1 or 2.
    pub tree: u8,
    /// Number of the recording; its last entry is meant.
    pub recording: usize,
    /// The difference.
    pub change: TreeChange,
}

/// How an entry differs in one copy of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeChange {
    /// It is still open.
    Open,
    /// It is not there.
    Absent,
}

impl Variants {
    /// The first reading.
    pub const FIRST: Variants = Variants {
        tree: TreeShape::FIRST,
        wide_channel: false,
        tree_gap: 0,
        zero_master_fields: false,
        one_log_area: false,
        backup_elsewhere: false,
    };
    /// The second reading.
    pub const SECOND: Variants = Variants {
        tree: TreeShape::SECOND,
        wide_channel: true,
        tree_gap: 0x2000,
        zero_master_fields: true,
        one_log_area: true,
        backup_elsewhere: true,
    };

    /// The points that differ from the first reading, in plain words.
    pub fn names(&self) -> Vec<String> {
        let first = Variants::FIRST;
        let points = [
            (self.tree.node_type != first.tree.node_type, "node type 0"),
            (self.tree.footer != first.tree.footer, "footer behind the tree"),
            (!self.tree.long_unused, "unused entries FF only up to byte 0xF"),
            (self.tree.stale_slots, "stale entries behind the count of a leaf"),
            (self.wide_channel, "OFNI channel as big-endian 16 bits"),
            (self.tree_gap > 0, "gap between the copies of the tree"),
            (self.zero_master_fields, "master +0x70 and +0x80 zero"),
            (self.one_log_area, "one log area, records from +0x800"),
            (self.backup_elsewhere, "backup master elsewhere"),
        ];
        points.iter().filter(|(differs, _)| *differs).map(|(_, name)| name.to_string()).collect()
    }
}

impl DiskPlan {
    /// A disk of the first reading with nothing on it.
    pub fn new(block_bytes: u64, blocks: u32, initialised: Moment) -> DiskPlan {
        DiskPlan {
            block_bytes,
            blocks,
            initialised,
            recordings: Vec::new(),
            reserved: Vec::new(),
            tail: Tail::A,
            variants: Variants::FIRST,
            log: [Vec::new(), Vec::new()],
            tree_edits: Vec::new(),
            damage: Vec::new(),
        }
    }
}

impl RecordingPlan {
    /// A recording that is closed and comes behind what the blocks hold already.
    pub fn new(channel: u8, stream: StreamPlan, blocks: &[u32]) -> RecordingPlan {
        RecordingPlan {
            channel,
            stream,
            places: blocks.iter().map(|block| Place { block: *block, reuse: false }).collect(),
            block_limit: None,
            open: false,
            until_full: false,
            before_format: false,
        }
    }

    /// The same, but the blocks are written from their start again.
    #[must_use]
    pub fn reusing(mut self) -> RecordingPlan {
        self.places.iter_mut().for_each(|place| place.reuse = true);
        self
    }

    /// The same, but the stream ends when its blocks are full.
    #[must_use]
    pub fn until_full(mut self) -> RecordingPlan {
        self.until_full = true;
        self
    }

    /// The same, but the last entry is left open.
    #[must_use]
    pub fn left_open(mut self) -> RecordingPlan {
        self.open = true;
        self
    }
}
