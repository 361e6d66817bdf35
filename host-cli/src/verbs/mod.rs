//! One module a verb; its doc comment is the manual's text, its `run` is wiring.

pub mod bridge;
pub mod demo;
pub mod devices;
pub mod doctor;
pub mod extract;
pub mod identify;
pub mod image;
pub mod list;
pub mod logs;
pub mod manual;
pub mod show;
pub mod verify;
