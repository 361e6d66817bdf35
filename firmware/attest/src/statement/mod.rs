//! The session statement: what the bridge claims about a session, in deterministic CBOR, signed.
//!
//! Published requirements, sections 4.3 (the claims) and 5.5 (what they are worth). [`Claims`]
//! borrows everything, so the bridge fills it from its own state without allocating. [`encode`]
//! writes a `COSE_Sign1` (RFC 9052) with an empty place for the signature into a buffer; the bytes
//! to be signed are handed out in pieces, and the signature goes in by [`Unsigned::attach`].

mod cbor;
mod claims;
mod cose;
mod drive;
mod encode;
pub mod keys;
mod list;
mod sign;

pub use claims::{
    Answers, Audit, Claims, Command, Counter, Counters, Coverage, Device, Edit, Emission, Emitted,
    EndReason, ErrorExtent, Extent, Firmware, Kind, Layer, LogState, NotRun, Originated,
    Protection, Refusal, RefusalKind, Refusals, Session, Step, StepOutcome, profile,
};
pub use cose::{FormError, MAX_STATEMENT, SIGNATURE, Unsigned};
pub use drive::{Asked, Ata, Card, Drive, Medium, Scsi, Skip, Usb};
pub use encode::{Error, Item, encode, encoded_len, list_digest};
pub use list::{Bounds, Items, List, Source};
pub use sign::{Changed, Signer, public_key, sign_in_chunks};
