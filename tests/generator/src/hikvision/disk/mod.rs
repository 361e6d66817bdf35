//! Writer of raw disks of Hikvision recorders.
//!
//! Facts: `docs/formats/hikvision.md`, part A, and section 17 for the places where two readings of the
//! sources differ. [`DiskPlan`] says what a disk holds; [`write_disk`] fills the blocks in the order
//! of the plan, so that what a block held before stays behind the newer footage, and so does the
//! key-frame index below the newer records.

mod blocks;
mod damage;
mod facts;
mod geometry;
mod log;
mod plan;
mod trees;
mod write;

pub use damage::{CutAt, Damage, KeyEdit, Node};
pub use geometry::{Geometry, LOG_AREAS, LogArea, MASTER_AT, VIDEO_OFFSET};
pub use plan::{DiskPlan, Place, RecordingPlan, Tail, TreeChange, TreeEdit, Variants};
pub use write::write_disk;
