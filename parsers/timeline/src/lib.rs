//! From coded frames to dated clips: how frames follow each other, where a clip ends, and what a frame's time is.
//!
//! A recorder stores whole seconds of its own clock and, beside them, a counter of unknown phase. [`Pace`] follows both from frame
//! to frame and says where footage is missing or the clock was moved; [`resolve`] turns a clip's stamps into times
//! with an uncertainty each. Method: `docs/decisions/0002-time.md`.

#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

mod pace;
mod resolve;

pub use pace::{Pace, Pacing, Stamp};
pub use resolve::{Resolved, Resolver, TimeSource, resolve};
