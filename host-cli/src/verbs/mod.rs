//! One module a verb; its doc comment is the manual's text, its `run` is wiring.

pub mod bridge;
pub mod demo;
pub mod extract;
pub mod identify;
pub mod list;
pub mod logs;
pub mod manual;
pub mod show;
