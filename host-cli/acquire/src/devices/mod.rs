//! What is attached, what it says of itself, whether it may be imaged, and how it is read.
//!
//! [`sysfs`] lists the disks as the kernel knows them and [`uses`] what uses them; [`guard`] keeps everybody away from one; [`source`]
//! opens a disk, a partition or a file, and [`medium`] reads it and tells a bad sector from a lost device. [`identity`] asks a disk who it is,
//! [`hazards`] says what could write to it, and [`host`] whether this computer is fit to take an image. Everything of the system is
//! read below [`sysfs::Roots`], so that a made-up tree stands for any computer. Facts: the modules name their own.

pub mod ata;
pub mod elsewhere;
pub mod guard;
pub mod hazards;
pub mod host;
pub mod identity;
pub mod medium;
mod presence;
mod reader;
pub mod smart;
pub mod source;
pub mod sysfs;
pub mod uses;

pub use guard::{Guard, Refused};
pub use medium::{Sample, SourceMedium};
pub use source::{Identity, OpenError, Opened, open};
pub use sysfs::{Disk, Roots};

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
