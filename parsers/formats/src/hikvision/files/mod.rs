//! Cards of cameras and shares that cameras or recorders write to: preallocated media files in a folder, and the indexes beside them.
//!
//! Facts: `docs/formats/hikvision.md` part C. Four kinds of index are read: the binary one of versions 2 and 3 ([`layout`], [`index`]), its
//! sibling for pictures ([`gallery`]), SQLite databases of newer firmware ([`database`]) and the HIKBTREE of a recorder ([`nas`]). Several may
//! stand in one tree; each speaks of the media files of its own folder. Records of earlier passes that an index still holds are judged in
//! [`residual`].

mod database;
mod describe;
mod fields;
mod folder;
mod gallery;
mod index;
mod info;
mod judged;
mod layout;
mod logs;
mod media;
mod nas;
mod picture;
mod probe;
mod recorder;
mod residual;
mod segment;
#[cfg(feature = "sqlite")]
mod sqlite;
mod wal;

pub use probe::probe;
pub use recorder::open;

/// Name of the family.
pub const FAMILY: &str = "hikvision-files";
