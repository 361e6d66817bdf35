//! Reading and checking statements on the host.
//!
//! [`Signed::parse`] takes nothing but the one form and the one encoding that a bridge writes;
//! [`Signed::verify`] checks signature and key; [`Statement::findings`] looks for claims that
//! contradict each other; [`log`](self::log_agrees) and [`Image`] tie the streamed entries to the
//! statement and to the image. Published requirements, sections 4.3, 4.4 and 5.5.

mod check;
mod decode;
mod files;
mod image;
#[cfg(feature = "serde")]
pub(crate) mod render;
mod statement;
mod tree;
mod value;

pub use check::{Expected, Finding, LogVerdict, log_agrees, proven_entries};
pub use files::{PemError, pem, public_key_from_pem};
pub use image::{Covered, Image, ImageError, Unstable};
pub use statement::{
    Ata, Bytes, Card, Counters, Coverage, Device, Drive, Edit, Emitted, Firmware, Listed, Log,
    Medium, Originated, Refusals, Scsi, Signed, Statement, Usb,
};
pub use tree::Tree;

use crate::statement::FormError;
use std::fmt;

/// Why bytes are not taken for a statement of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reject {
    /// The outer form.
    Form(FormError),
    /// The claims are not deterministic CBOR, at this offset of the payload.
    Encoding {
        /// Offset in the payload.
        at: usize,
        /// What is wrong there.
        why: &'static str,
    },
    /// A claim is missing, unknown, or not what the format says.
    Claim(&'static str),
    /// The public key is not a point of the curve.
    PublicKey,
    /// The statement names another key.
    KeyId,
    /// The signature does not fit.
    Signature,
    /// The files kept beside the statement are not those of the statement.
    Files,
}

impl From<FormError> for Reject {
    fn from(form: FormError) -> Self {
        Self::Form(form)
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(form) => write!(f, "not the form of a statement: {form:?}"),
            Self::Encoding { at, why } => write!(f, "claims, byte {at}: {why}"),
            Self::Claim(claim) => write!(f, "claim `{claim}` is missing or not as defined"),
            Self::PublicKey => f.write_str("the public key is not valid"),
            Self::KeyId => f.write_str("the statement names another key"),
            Self::Signature => f.write_str("the signature does not fit"),
            Self::Files => f.write_str("the files beside the statement do not belong to it"),
        }
    }
}

impl std::error::Error for Reject {}
