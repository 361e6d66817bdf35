//! USB host driver for the ChipIdea core of the i.MX 6UltraLite and i.MX RT families: one root port, one device on it,
//! polling, the asynchronous schedule only.
//!
//! It is the lowest place that every byte to a drive passes, so what cannot be sent is missing here too: a transfer to
//! a bulk-OUT endpoint can be built by one function alone (`Descriptor::command`), and that takes a
//! [`CbwOut`](wb_policy::down::CbwOut), which only the policy makes. A control transfer takes a
//! [`Request`](wb_bridge::host::Request) of the closed list, and none of them has a data stage towards the device.
//! There are no hubs, no interrupt and no isochronous transfers.
//!
//! ```text
//!  Ehci            HostController: jobs, time-outs, recovery
//!   |- port        root port: power, debounce, reset, speed, over-current
//!   |- queue       queue heads: what stands in the schedule, data toggles
//!   |- memory      what the controller reads and writes: queue heads, descriptors, buffers
//!   |- descriptor  bits of queue heads and transfer descriptors; the only place with an OUT token
//!   |- registers   offsets and bits
//! ```
//!
//! Facts: Enhanced Host Controller Interface Specification 1.0, sections 2 (registers), 3 (data structures) and 4 (operation);
//! i.MX 6UltraLite and i.MX RT1060 reference manuals, chapter "Universal Serial Bus Controller" (deviations from EHCI:
//! the reset of the port, the embedded transaction translator, USBMODE); Universal Serial Bus Specification 2.0, 7.1.7 and 9.2.6
//! (times); the published policy, section 6.3.
//!
//! QEMU's `mcimx6ul-evk` runs this driver except for: full-speed devices (its model has no transaction translator and does
//! not report a speed), the handshakes NYET and PING, and anything of the PHY.
#![no_std]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

#[cfg(test)]
extern crate std;

mod descriptor;
mod ehci;
mod hardware;
mod memory;
mod port;
mod queue;
pub mod registers;

pub use ehci::Ehci;
pub use hardware::{Config, Hardware, Mmio, SpeedSource};
pub use memory::Memory;
