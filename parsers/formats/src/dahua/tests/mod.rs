//! Tests of the Dahua family that need more than one of its modules, or an encoder of their own.
//!
//! The encoders here are written from the tables of `docs/formats/dahua.md` and share nothing with the parsers, nor with the generator.

mod chain;
mod disk;
mod holes;
mod partition;
mod real;
mod show;
mod split;
mod stream;
mod units;
