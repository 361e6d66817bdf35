//! `daleel`.
fn main() {}
