//! The write blocker's judge: a drive that obeys every write, faults, a USB device for a real kernel.

pub mod bridge;
pub mod bus;
pub mod card;
pub mod controller;
pub mod drive;
pub mod guest;
pub mod host;
pub mod replay;
pub mod usb;
pub mod usbredir;
