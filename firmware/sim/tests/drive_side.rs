//! The drive side of the bridge (`wb_bridge::usb`) over a model controller and model drives that obey every write.
//!
//! Facts: the published policy, sections 1 (rule 3), 3.2, 5.5, 6.3 and 9 (test 8); requirements D-01, D-02, D-07, D-10, B11, B16, B23.
#![allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

#[path = "drive_side/conditions.rs"]
mod conditions;
#[path = "drive_side/faults.rs"]
mod faults;
#[path = "drive_side/hostile.rs"]
mod hostile;
#[path = "drive_side/media.rs"]
mod media;
#[path = "drive_side/rig.rs"]
mod rig;
#[path = "drive_side/unplug.rs"]
mod unplug;
