//! Writer of Hikvision program streams, exported files and raw disks.
//!
//! Facts: `docs/formats/hikvision.md`. [`StreamPlan`] says what one camera delivers and [`build`] turns
//! it into packs; [`ExportPlan`] makes a file of them,
//! [`disk::DiskPlan`] places them in the blocks of a disk.

pub mod disk;
mod export;
pub mod files;
mod imkh;
mod key_index;
mod log;
mod pack;
mod plan;
mod sound;
mod stream;
mod tree;

pub use export::{ExportPlan, write_export};
pub use imkh::{IMKH_BYTES, imkh};
pub use key_index::{DIRECTORY_BYTES, DIRECTORY_PAGE, KeyRecord, RECORD_BYTES};
pub use key_index::{directory_header, directory_page};
pub use log::{AreaParts, CHUNK_BYTES, LogEvent, LogLine, log_area};
pub use pack::{MapFacts, program_stream_map, system_header};
pub use pack::{PAYLOAD_LIMIT, PES_AUDIO, PES_PRIVATE, PES_VIDEO, Pes, pack_header};
pub use plan::{Cipher, Encryption, Event, Private, StreamPlan};
pub use sound::{Sound, SoundCodec};
pub use stream::{Stream, StreamUnit, build, video_pack};
pub use tree::{ENTRY_BYTES, Footer, LeafEntry, NODE_BYTES, NODE_CAPACITY};
pub use tree::{TreeShape, WrittenTree, write_tree};
