//! How far a job is, for those who look on.

use std::sync::{
    PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use crate::pipeline::Shared;

/// What a job is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// Opening the source.
    #[default]
    Open,
    /// Reading the medium from front to back.
    Image,
    /// Reading what was asked for first.
    Guided,
    /// Reading a failing medium.
    Rescue,
    /// Unpacking what was packed before the medium failed.
    Unpack,
    /// Hashing and packing the raw file.
    Pack,
    /// Reading the image back.
    ReadBack,
}

impl Step {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Image => "image",
            Self::Guided => "guided",
            Self::Rescue => "rescue",
            Self::Unpack => "unpack",
            Self::Pack => "pack",
            Self::ReadBack => "read-back",
        }
    }
}

/// Shared by a job and those who look on.
#[derive(Debug, Default)]
pub struct Watch {
    /// Position and the wish to stop.
    pub shared: Shared,
    step: RwLock<Step>,
    total: AtomicU64,
    errors: AtomicU64,
}

impl Watch {
    pub(super) fn enter(&self, step: Step, total: u64) {
        *self.step.write().unwrap_or_else(PoisonError::into_inner) = step;
        self.total.store(total, Ordering::Relaxed);
        self.shared.position.store(0, Ordering::Relaxed);
    }

    pub(super) fn set_errors(&self, errors: u64) {
        self.errors.store(errors, Ordering::Relaxed);
    }

    /// Asks the job to pause.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    /// What the job is at.
    pub fn step(&self) -> Step {
        *self.step.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that this step goes over.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Bytes of it that are done.
    pub fn position(&self) -> u64 {
        self.shared.position.load(Ordering::Relaxed)
    }

    /// Reads that failed.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }
}
