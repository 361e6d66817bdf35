//! The plan of a disk: what a scenario fills in.

use super::{Damage, Generation, IndexStyle, LogLine};
use crate::take::Take;

/// The plan of a disk.
#[derive(Debug, Clone)]
pub struct DiskPlan {
    /// Generation of the superblock.
    pub generation: Generation,
    /// Length of the disk in sectors.
    pub sectors: u64,
    /// Alignment of partition starts in sectors.
    pub alignment: u32,
    /// Partitions.
    pub partitions: Vec<PartitionPlan>,
    /// Damage done after writing, in order.
    pub damage: Vec<Damage>,
}

/// The plan of a partition.
#[derive(Debug, Clone)]
pub struct PartitionPlan {
    /// Sectors in a cluster.
    pub sectors_per_cluster: u32,
    /// Reserved clusters at the start.
    pub reserved: u32,
    /// Laps of the ring so far.
    pub restarts: u32,
    /// Clusters between the reserved ones and the first one written: where the ring stood.
    pub cursor: u32,
    /// Clusters that the ring uses, where it is smaller than the partition.
    pub ring_clusters: Option<u32>,
    /// Index of recordings.
    pub index: IndexStyle,
    /// Padding after the last frame.
    pub padding: Padding,
    /// Continuations carry the dates of the whole recording, not their own.
    pub whole_dates: bool,
    /// The last continuation repeats the number of used sectors.
    pub repeat_tail: bool,
    /// Sectors added to the data start in the boot sector.
    pub data_start_shift: i32,
    /// Lines of the log.
    pub log: Vec<LogLine>,
    /// Recordings.
    pub recordings: Vec<RecordingPlan>,
}

/// The plan of a recording.
#[derive(Debug, Clone)]
pub struct RecordingPlan {
    /// Camera input, from 1.
    pub channel: u8,
    /// Store the channel in byte 1F as well.
    pub extended: bool,
    /// High nibble of the channel byte; by default 3 with sound and 2 without.
    pub nibble: Option<u8>,
    /// Left open by a power cut.
    pub open: Option<Open>,
    /// What the camera delivers.
    pub take: Take,
}

/// What the head descriptor of an open recording says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// The end equals the begin.
    EndIsBegin,
    /// The end is older than the begin.
    EndBeforeBegin,
    /// The end is zero.
    ZeroEnd,
}

/// How the space after the last frame is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// 0xFF up to the end of the sector.
    OnesToSector,
    /// Zeros up to a multiple of 32 sectors.
    ZerosTo32Sectors,
}

impl Padding {
    /// Fill byte, and the bytes of which the end is a multiple.
    pub fn rule(self) -> (u8, usize) {
        match self {
            Padding::OnesToSector => (0xFF, 512),
            Padding::ZerosTo32Sectors => (0, 32 * 512),
        }
    }
}

impl Default for PartitionPlan {
    /// 64 KiB clusters, an index of 8 KiB with entries of 84 bytes, nothing recorded.
    fn default() -> Self {
        PartitionPlan {
            sectors_per_cluster: 128,
            reserved: 4,
            restarts: 1,
            cursor: 0,
            ring_clusters: None,
            index: IndexStyle { length: 0x2000, written: 0x2000, stride: 84, spare: 8 },
            padding: Padding::OnesToSector,
            whole_dates: false,
            repeat_tail: false,
            data_start_shift: 0,
            log: Vec::new(),
            recordings: Vec::new(),
        }
    }
}

impl RecordingPlan {
    /// A complete recording of `channel`.
    pub fn new(channel: u8, take: Take) -> RecordingPlan {
        RecordingPlan { channel, extended: false, nibble: None, open: None, take }
    }
}
