//! What `truth.json` says: the content of an image, frame by frame, with its place on the medium.
//!
//! All offsets and lengths are bytes on the image. All times are readings of the recorder's clock,
//! ISO 8601 without a zone. The README of this crate describes the same fields for other programs.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::hikvision::files::{FileFacts, SegmentFacts};
use crate::mark::Mark;

/// Version of the layout of `truth.json`.
pub const TRUTH_VERSION: u32 = 1;
/// Name of the truth file, beside the image.
pub const TRUTH_FILE: &str = "truth.json";

/// Offset and length on the image, in bytes.
pub type Extent = [u64; 2];

/// The whole truth about one image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Layout version, [`TRUTH_VERSION`].
    pub version: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// One line about it.
    pub summary: String,
    /// Seed it was written with.
    pub seed: u64,
    /// `dhfs`, `hikvision-disk` (whole disks), `hikvision-files` (files of a card or a network
    /// drive), `dav`, `hikvision-stream` (a stream file) or `old-mpeg` (a stream of the old form).
    pub form: String,
    /// File name of the image, in the folder of the truth file.
    pub image: String,
    /// Length of the image in bytes.
    pub bytes: u64,
    /// Facts of sector 0; disks only.
    pub sector_zero: Option<SectorZero>,
    /// Partitions in table order; disks only.
    pub partitions: Vec<Partition>,
    /// Recordings in order of their plan.
    pub recordings: Vec<Recording>,
    /// Lines of the log areas.
    pub events: Vec<LogEvent>,
    /// What was damaged on purpose after writing.
    pub damage: Vec<Damage>,
    /// Structures of a Hikvision disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hikvision: Option<HikvisionFacts>,
    /// Records of Hikvision log areas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogRecord>,
    /// Files of a folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileFacts>,
}

/// What sector 0 holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectorZero {
    /// The signature, or null where it was destroyed.
    pub signature: Option<String>,
    /// The uuid text of newer recorders.
    pub uuid: Option<String>,
    /// True where the marker AA 55 AA 55 ends the sector.
    pub marker: bool,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Index from 0.
    pub index: u32,
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
    /// First byte of cluster 0, as the data really lie.
    pub data_start: u64,
    /// Value of the boot sector for the same, in sectors from the partition start.
    pub stored_data_start_sector: u32,
    /// Bytes in a cluster.
    pub cluster_bytes: u64,
    /// Number of clusters.
    pub clusters: u32,
    /// Leading clusters that never hold video.
    pub reserved: u32,
    /// First byte of the descriptor table.
    pub descriptors: u64,
    /// First byte of the log area.
    pub log: u64,
}

/// One recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// Name within this truth.
    pub id: String,
    /// True where a reader of the recorder's index must deliver it, repair by head number and
    /// sequence included.
    pub listed: bool,
    /// Why it is not listed, or what is odd about it.
    pub reason: Option<String>,
    /// Partition index; disks only.
    pub partition: Option<u32>,
    /// First cluster of the chain; disks only.
    pub head_cluster: Option<u32>,
    /// Clusters in order, as they were written.
    pub chain: Vec<u32>,
    /// Camera input as the recorder shows it, from 1; null where nothing on the medium names it.
    pub channel: Option<u32>,
    /// Begin in the head descriptor as written, to the second.
    pub descriptor_begin: Option<String>,
    /// End in the head descriptor as written, to the second; null where it is zero.
    pub descriptor_end: Option<String>,
    /// Coding of the first video frame.
    pub codec: Option<String>,
    /// Width and height of the first video frame.
    pub size: Option<[u32; 2]>,
    /// Sound, if any.
    pub audio: Option<AudioFacts>,
    /// Index block (DHII) before the first frame.
    pub index: Option<Extent>,
    /// File that all extents of this recording count in; null where they count on the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// File header (IMKH) before the first frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Extent>,
    /// The recording that goes on here without a gap, in the next block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<String>,
    /// The entry of the recorder's index (Hikvision); null for remains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<EntryFacts>,
    /// Records of the key-frame index in the block tail (OFNI).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_index: Vec<KeyIndexFact>,
    /// The entry of the index of a card, and what is left where it is not listed (Hikvision files).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<SegmentFacts>,
    /// Frames in stream order.
    pub frames: Vec<Frame>,
}

/// Sound of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioFacts {
    /// `alaw`, `ulaw`, `aac` or `pcm16`.
    pub codec: String,
    /// Samples a second.
    pub sample_rate: u32,
    /// Start of the sound minus start of the video, in milliseconds.
    pub offset_ms: i64,
}

/// Kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameKind {
    /// One access unit of video.
    Video,
    /// Sound.
    Audio,
    /// A JPEG still beside the video.
    Still,
    /// Text or private data.
    Auxiliary,
}

/// Something that happened between a frame and the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Discontinuity {
    /// The recorder's clock was set; the counter and the frame numbers went on.
    Clock {
        /// New reading minus old reading.
        step_ms: i64,
    },
    /// Nothing was recorded for a while.
    Gap {
        /// Length.
        ms: i64,
    },
    /// Codec or picture size changed.
    Parameters,
    /// The recorder restarted: nothing was recorded, stream time and picture counter began anew.
    Restart {
        /// Time without recording.
        ms: i64,
    },
    /// Pictures are missing from the stream.
    Lost {
        /// Number of pictures.
        frames: u32,
    },
}

/// One frame; a frame that was split into pieces is one entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// Kind.
    pub kind: FrameKind,
    /// Channel byte of the DHAV header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dhav_channel: Option<u8>,
    /// Frame number; every kind has its own counter. Of Hikvision video, the picture counter.
    pub number: u32,
    /// True where decoding can start.
    pub key: bool,
    /// Coding of video, sound or still.
    pub codec: Option<String>,
    /// Width and height of a picture.
    pub size: Option<[u32; 2]>,
    /// The recorder's clock at this frame, to the millisecond, its steps included.
    pub true_time: String,
    /// Milliseconds since the first frame of the recording, not affected by clock steps.
    pub elapsed_ms: i64,
    /// The whole second in the DHAV header; absent where the frame has no such header.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stored_second: String,
    /// The millisecond counter in the DHAV header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter_ms: Option<u16>,
    /// Times in the program stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredTime>,
    /// What lies between this frame and the one before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discontinuity: Vec<Discontinuity>,
    /// The payload: joined, the access unit as stored.
    pub payload: Vec<Extent>,
    /// The whole frame: headers, tags, payload and trailer of all its pieces; or its packs.
    pub extents: Vec<Extent>,
    /// CRC-32 (ISO 3309) of the payload as it was written, before any damage.
    pub payload_crc32: u32,
    /// Number of DHAV pieces or of PES packets.
    pub pieces: u32,
    /// Camera and frame number in the picture; null where there is none.
    pub mark: Option<Mark>,
    /// True where every byte of the frame is on the image as it was written.
    pub intact: bool,
    /// Why it is not intact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What a reader has to cope with to find an intact frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// True where the payload, or a part of it, is encrypted.
    pub encrypted: bool,
}

/// What the program stream says about the time of a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTime {
    /// Presentation time in units of 1/90000 s, 33 bits.
    pub pts: u64,
    /// Picture counter in the stuffing of the pack header; null where the frame has no pack header.
    pub counter: Option<u32>,
    /// Time in descriptor 0x40, to the millisecond; null where the pack has none.
    pub time: Option<String>,
    /// First byte of that descriptor.
    pub time_at: Option<u64>,
}

/// One entry of the recorder's index, as each copy of the tree has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryFacts {
    /// Number of the data block, from 0.
    pub block: u32,
    /// First byte of the block, or the virtual disk offset of a network drive.
    pub block_offset: u64,
    /// The entry in each copy that has it.
    pub copies: Vec<EntryCopy>,
}

/// State of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryState {
    /// A finished block.
    Closed,
    /// Being recorded, or never closed.
    Open,
    /// Reserved: state of a used block, channel 255.
    Reserved,
    /// Never used since initialisation.
    Unused,
}

/// An entry in one copy of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryCopy {
    /// Number of the copy, 1 or 2.
    pub tree: u8,
    /// The 48 bytes.
    pub extent: Extent,
    /// State.
    pub state: EntryState,
    /// Channel; 255 where none is assigned.
    pub channel: u8,
    /// Start time, to the second; null for the value that means "none".
    pub start: Option<String>,
    /// End time, to the second; null for the value that means "none".
    pub end: Option<String>,
    /// False where damage took it from the image.
    pub intact: bool,
}

/// A record of the key-frame index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyIndexFact {
    /// The record.
    pub extent: Extent,
    /// Time in it, to the second.
    pub time: String,
    /// Channel in it.
    pub channel: u8,
    /// Byte on the image that it points at.
    pub target: u64,
    /// Picture counter of the key frame.
    pub number: u32,
    /// True where the record is on the image as it was written.
    pub intact: bool,
    /// True where the key frame is still at the target.
    pub target_intact: bool,
}

/// Structures of a Hikvision disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HikvisionFacts {
    /// Primary and backup master sector, 256 bytes each.
    pub masters: Vec<StructureFact>,
    /// Capacity that the master states.
    pub capacity: u64,
    /// First byte of the video data area.
    pub video_offset: u64,
    /// Bytes of a data block.
    pub block_bytes: u64,
    /// Number of data blocks.
    pub blocks: u32,
    /// Time of initialisation, to the second.
    pub initialised: String,
    /// Copies of the tree.
    pub trees: Vec<TreeFacts>,
    /// Log areas.
    pub logs: Vec<StructureFact>,
    /// Entries that hold no recording: reserved or never used.
    pub idle_entries: Vec<EntryFacts>,
    /// Block directories (tail variant B).
    pub directories: Vec<StructureFact>,
    /// Switches of the second reading that this disk uses.
    pub variants: Vec<String>,
}

/// Place of a structure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StructureFact {
    /// Offset and length.
    pub extent: Extent,
    /// True where it is on the image as it was written.
    pub intact: bool,
}

/// Places of the nodes of one copy of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeFacts {
    /// Number of the copy, 1 or 2.
    pub tree: u8,
    /// The whole copy.
    pub extent: Extent,
    /// Header, root, leaves in order, footer.
    pub nodes: Vec<StructureFact>,
}

/// A record of a Hikvision log area.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Number of the log area, 1 or 2.
    pub area: u8,
    /// The recorder's clock, to the second.
    pub time: String,
    /// Major code.
    pub major: u16,
    /// Minor code.
    pub minor: u16,
    /// User name.
    pub user: Option<String>,
    /// Remote address.
    pub address: Option<String>,
    /// Channel, from 1.
    pub channel: Option<u32>,
    /// Meaning in plain words.
    pub text: String,
    /// The whole record.
    pub extent: Extent,
    /// File that the extent counts in; null where it counts on the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// True where the record is on the image as it was written.
    pub intact: bool,
}

/// One line of a partition's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEvent {
    /// Partition whose log holds it.
    pub partition: u32,
    /// The recorder's clock, to the second.
    pub time: String,
    /// Level, for example `Info`.
    pub level: String,
    /// The message.
    pub text: String,
    /// The whole line without its line feed.
    pub extent: Extent,
}

/// One deliberate damage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// What was done.
    pub what: String,
}

impl Truth {
    /// A truth without content, to be filled in.
    pub fn empty(form: &str, bytes: u64) -> Truth {
        Truth {
            version: TRUTH_VERSION,
            scenario: String::new(),
            summary: String::new(),
            seed: 0,
            form: form.into(),
            image: String::new(),
            bytes,
            sector_zero: None,
            partitions: Vec::new(),
            recordings: Vec::new(),
            events: Vec::new(),
            damage: Vec::new(),
            hikvision: None,
            log: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Reads the truth file of a folder, or a truth file.
    ///
    /// # Errors
    /// The file cannot be read or is not a truth file of this version.
    pub fn load(path: &Path) -> Result<Truth, Error> {
        let file = if path.is_dir() { path.join(TRUTH_FILE) } else { path.to_path_buf() };
        let text = fs::read(&file).map_err(|source| Error::io("read", &file, source))?;
        let truth: Truth = serde_json::from_slice(&text)
            .map_err(|source| Error::Truth { path: file.clone(), source })?;
        Ok(truth)
    }

    /// Writes the truth file into `dir`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(TRUTH_FILE);
        let mut text = serde_json::to_vec(self)
            .map_err(|source| Error::Truth { path: path.clone(), source })?;
        text.push(b'\n');
        fs::write(&path, text).map_err(|source| Error::io("write", &path, source))
    }

    /// Path of the image, given the folder of the truth file.
    pub fn image_path(&self, dir: &Path) -> PathBuf {
        dir.join(&self.image)
    }

    /// Recordings that a reader of the recorder's index must deliver.
    pub fn listed(&self) -> impl Iterator<Item = &Recording> {
        self.recordings.iter().filter(|recording| recording.listed)
    }
}

impl From<crate::take::Audio> for AudioFacts {
    fn from(audio: crate::take::Audio) -> Self {
        AudioFacts {
            codec: audio.codec.name().into(),
            sample_rate: audio.codec.sample_rate(),
            offset_ms: audio.offset_ms,
        }
    }
}

impl Frame {
    /// A frame without content, to be filled in.
    pub fn empty(kind: FrameKind) -> Frame {
        Frame {
            kind,
            dhav_channel: None,
            number: 0,
            key: false,
            codec: None,
            size: None,
            true_time: String::new(),
            elapsed_ms: 0,
            stored_second: String::new(),
            counter_ms: None,
            stored: None,
            discontinuity: Vec::new(),
            payload: Vec::new(),
            extents: Vec::new(),
            payload_crc32: 0,
            pieces: 0,
            mark: None,
            intact: true,
            reason: None,
            note: None,
            encrypted: false,
        }
    }
}

impl Recording {
    /// A listed recording without content, to be filled in.
    pub fn new(id: String) -> Recording {
        Recording {
            id,
            listed: true,
            reason: None,
            partition: None,
            head_cluster: None,
            chain: Vec::new(),
            channel: None,
            descriptor_begin: None,
            descriptor_end: None,
            codec: None,
            size: None,
            audio: None,
            index: None,
            file: None,
            header: None,
            continues: None,
            entry: None,
            key_index: Vec::new(),
            segment: None,
            frames: Vec::new(),
        }
    }

    /// The video frames, in stream order.
    pub fn video(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(|frame| frame.kind == FrameKind::Video)
    }
}
