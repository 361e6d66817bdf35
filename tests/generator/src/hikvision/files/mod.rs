//! Files of Hikvision cameras: SD cards, folders on a network drive, and recorders that write there.
//!
//! Facts: `docs/formats/hikvision.md`, part C and section 10. A camera preallocates its media files and
//! fills them in order, the stream from the front and the key-frame index from the back; an index
//! beside them says which part is what. What a file held before stays until it is written over, and
//! so do the records of the index. A [`CardPlan`] is written segment by segment round the ring, so
//! that the remains are those that the order of writing leaves.

mod card;
mod card_facts;
mod database;
mod facts;
mod folder;
mod index;
mod info;
mod item;
mod logs;
mod nas;
mod sqlite;
mod store;
mod write;

pub use card::{CardPlan, IndexForm, Mirror, PictureStore};
pub use database::{Database, Row, RowFate, write_database};
pub use facts::{FileFacts, FileRole, RecordCopy, RecordState, Residual, SegmentFacts, Survival};
pub use folder::{Folder, FolderDamage};
pub use index::{FileEntry, Index, Record, Shape, Slot};
pub use info::{INFO_BYTES, Info};
pub use item::{Ending, PicturePlan, SegmentPlan};
pub use logs::CardLogs;
pub use nas::{Begin, TreePlan};
pub use write::{FilesPlan, write_files};
