//! The host's side of the write blocker: requests over interface 1, sessions, statements, firmware images.
//!
//! [`port::Port`] carries requests; [`link::Link`] speaks them; [`session::Session`] keeps a session's evidence; [`verify`] checks it
//! offline. The layouts and the checks of a single statement are those of `wb-attest`, which the bridge itself runs.

pub mod attached;
pub mod boards;
pub mod coverage;
pub mod describe;
pub mod enrol;
pub mod formats;
pub mod frames;
pub mod image;
pub mod judge;
pub mod link;
pub mod port;
#[cfg(feature = "probe")]
pub mod probe;
pub mod record;
pub mod selftest;
pub mod session;
pub mod sessions;
pub mod sim;
pub mod usb;
pub mod verify;
