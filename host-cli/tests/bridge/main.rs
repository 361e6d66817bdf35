//! The host's side of the write blocker against the bridge of the simulator: sessions, statements, keys, firmware files.
//!
//! OpenSSL and coreutils judge the statement files where they are present.

// Everything here is test code: an assertion or an index that fails is the report.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

mod claims;
mod elf;
mod enrolment;
mod evidence;
mod firmware;
mod folder;
mod forge;
mod frames;
mod openssl;
mod rig;
mod session;
mod words;
