//! Raw images: the bytes of the medium and nothing else, in one file or in numbered pieces.
//!
//! Facts: `dd`, `dc3dd` and `ddrescue` write one file; `dc3dd`, `dcfldd`, FTK Imager, Guymager and X-Ways read pieces `.001`,
//! `.002` and on, of equal size but for the last. [`RawWriter`] takes the medium in order; [`RawCanvas`] in any order, for a failing medium.
//! Blocks of zeros can be left out of the file (`lseek(2)`, holes): they read as zeros and take no room.

mod canvas;
mod error;
mod layout;
pub(crate) mod positioned;
mod writer;

pub use canvas::RawCanvas;
pub use error::FileError;
pub use layout::{Layout, LayoutError};
pub use writer::{RawCheckpoint, RawWriter, Storing};

#[cfg(test)]
mod tests;
