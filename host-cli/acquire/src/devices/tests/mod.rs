//! Made-up trees, real loop devices, and a device that fails.

mod drive;
mod fixtures;
mod live;
mod tree;
