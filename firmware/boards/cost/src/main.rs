//! Counts instructions of the write blocker's work where they can be counted exactly: in QEMU with `-icount shift=0`, where every instruction takes
//! one nanosecond of the virtual time, read by the SysTick timer.
//!
//! ```text
//! cargo build --release -p cost --target thumbv7em-none-eabihf
//! qemu-system-arm -M mps2-an500 -icount shift=0 -display none -monitor none -serial none \
//!     -semihosting-config enable=on,target=native -kernel target/thumbv7em-none-eabihf/release/cost
//! ```
//!
//! For the Cortex-M0+ the target is `thumbv6m-none-eabi` and the machine `mps2-an385`, which runs its instructions.
//!
//! What is counted has no hardware: a drive that answers at once, pipes and a bus that take everything. Counts of instructions are no times: how many a
//! core completes in a cycle, and what its memory makes it wait, is for hardware to show.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod count;
#[cfg(target_os = "none")]
mod rig;
#[cfg(target_os = "none")]
mod work;

#[cfg(not(target_os = "none"))]
fn main() {}
