//! The write blocker's judge: a drive that obeys every write, faults, a USB device for a real kernel.

pub mod card;
pub mod controller;
pub mod drive;
pub mod usb;
pub mod usbredir;
pub mod bridge;
pub mod bus;
pub mod host;
pub mod replay;
pub mod guest;
