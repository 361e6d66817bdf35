//! Reading a disk that fails, or in another order than front to back.
//!
//! [`Map`] says for every byte what is known about it, in ddrescue's states and file format. [`Rescue`] reads what is not known
//! yet from a [`crate::medium::Medium`] into a [`Store`], in passes that bring the most bytes for the fewest failures first.
//! [`LiveSource`] lets a parser read a disk that is not imaged yet, so that the parts it needs are acquired first.
//! docs/rescue.md explains the passes and compares them with ddrescue's.

mod copying;
mod engine;
mod live;
mod map;
mod mapfile;
mod pace;
mod reader;
mod reasons;
mod sectors;
mod settings;
mod skip;

pub use engine::{Event, Outcome, Phase, Rescue, RescueError, Store};
pub use live::{LiveSource, ReadBack};
pub use map::{Map, State};
pub use mapfile::SaveError;
pub use reasons::Reasons;
pub use settings::{Clock, PassLimits, Settings, SystemClock};
