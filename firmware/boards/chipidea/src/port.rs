//! The root port: power, debounce, reset, speed, over-current, disconnect.
//!
//! Facts: USB 2.0 sections 7.1.7.3 (100 ms of debounce), 7.1.7.5 and 11.5.1.5 (50 ms of reset from a root port, 10 ms of recovery);
//! EHCI 1.0 section 2.3.9; the reference manuals' PORTSC1 (the chips end the reset by themselves, and enable a
//! full-speed device behind their own transaction translator).

use wb_bridge::{
    Micros,
    host::{Port, Speed},
};

use crate::{
    hardware::{Hardware, SpeedSource},
    registers::{
        PORT_CHANGES, PORT_CONNECT_CHANGE, PORT_CONNECTED, PORT_ENABLED, PORT_OVER_CURRENT,
        PORT_POWER, PORT_RESET, PORTSC, PortSpeed, port_speed,
    },
};

/// Supply switch and device, after power comes on (USB 2.0, 7.1.7.3: 100 ms).
const POWER_MICROS: Micros = 100_000;
const DEBOUNCE_MICROS: Micros = 100_000;
/// At least 50 ms.
const RESET_MICROS: Micros = 55_000;
/// EHCI 1.0, 2.3.9: within 2 ms the port says that the reset is over; as much again for doubt.
const RESET_END_MICROS: Micros = 4_000;
const RECOVERY_MICROS: Micros = 12_000;
/// Time without power after over-current.
const COOL_MICROS: Micros = 3_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Without power, from the driver's start or the last over-current on.
    Off {
        until: Micros,
    },
    /// Power has come on.
    Powered {
        since: Micros,
    },
    Empty,
    Debounce {
        since: Micros,
    },
    Connected,
    Reset {
        since: Micros,
    },
    ResetEnds {
        since: Micros,
    },
    Recovery {
        since: Micros,
        speed: Speed,
    },
    Enabled(Speed),
    /// Low speed, or a device that the reset did not enable: until it is taken away.
    Unusable,
}

/// The root port.
#[derive(Debug)]
pub struct RootPort {
    state: State,
    over_current: bool,
}

impl RootPort {
    /// A port without power.
    pub fn new() -> Self {
        Self { state: State::Off { until: 0 }, over_current: false }
    }

    /// Speed of the device, while the port is enabled.
    pub fn speed(&self) -> Option<Speed> {
        match self.state {
            State::Enabled(speed) => Some(speed),
            _ => None,
        }
    }

    /// Takes the power off the port and begins anew: after a reset of the controller.
    pub fn restart(&mut self, hardware: &mut impl Hardware) {
        hardware.set_high_speed(false);
        if !matches!(self.state, State::Off { .. }) {
            self.state = State::Off { until: 0 };
        }
    }

    /// Whether the device that was enabled is still there and enabled.
    pub fn is_alive(hardware: &impl Hardware) -> bool {
        let status = hardware.read(PORTSC);
        status & PORT_CONNECTED != 0
            && status & PORT_ENABLED != 0
            && status & PORT_CONNECT_CHANGE == 0
    }

    /// Begins a reset if a device is connected.
    pub fn reset(&mut self, hardware: &mut impl Hardware, now: Micros) {
        if !matches!(self.state, State::Connected | State::Enabled(_) | State::Recovery { .. }) {
            return;
        }
        hardware.set_high_speed(false);
        // Enabled is written as zero together with the reset (EHCI 1.0, 2.3.9).
        let status = hardware.read(PORTSC) & !(PORT_CHANGES | PORT_ENABLED);
        hardware.write(PORTSC, status | PORT_RESET);
        self.state = State::Reset { since: now };
    }

    /// Advances and says how the port stands.
    pub fn poll(&mut self, hardware: &mut impl Hardware, speeds: SpeedSource, now: Micros) -> Port {
        let status = hardware.read(PORTSC);
        if status & PORT_OVER_CURRENT != 0 && !matches!(self.state, State::Off { .. }) {
            self.cut_power(hardware, now);
            return Port::Fault;
        }
        if self.has_gone(status) {
            acknowledge(hardware);
            hardware.set_high_speed(false);
            self.state = State::Empty;
            return Port::Empty;
        }
        self.advance(hardware, speeds, status, now);
        self.answer()
    }

    fn answer(&self) -> Port {
        match self.state {
            State::Off { .. } if self.over_current => Port::Fault,
            State::Off { .. } | State::Powered { .. } | State::Empty | State::Debounce { .. } => {
                Port::Empty
            }
            State::Connected => Port::Connected,
            State::Reset { .. } | State::ResetEnds { .. } | State::Recovery { .. } => {
                Port::Resetting
            }
            State::Enabled(speed) => Port::Enabled(speed),
            State::Unusable => Port::Fault,
        }
    }

    /// Whether a device that was there has gone, if only for a moment.
    fn has_gone(&self, status: u32) -> bool {
        let connected = status & PORT_CONNECTED != 0 && status & PORT_CONNECT_CHANGE == 0;
        match self.state {
            State::Off { .. } | State::Powered { .. } | State::Empty => false,
            State::Debounce { .. } | State::Connected | State::Unusable => !connected,
            // A chip may report a change while the bus is in reset; what counts is what is there afterwards.
            State::Reset { .. } | State::ResetEnds { .. } => status & PORT_CONNECTED == 0,
            State::Recovery { .. } | State::Enabled(_) => !connected || status & PORT_ENABLED == 0,
        }
    }

    fn advance(
        &mut self,
        hardware: &mut impl Hardware,
        speeds: SpeedSource,
        status: u32,
        now: Micros,
    ) {
        let passed = |since: Micros, time: Micros| now.saturating_sub(since) >= time;
        match self.state {
            State::Off { until } if now >= until => {
                self.over_current = false;
                hardware.set_vbus(true);
                hardware.write(PORTSC, (status & !PORT_CHANGES) | PORT_POWER);
                self.state = State::Powered { since: now };
            }
            State::Powered { since } if passed(since, POWER_MICROS) => self.state = State::Empty,
            State::Empty if status & PORT_CONNECTED != 0 => {
                acknowledge(hardware);
                self.state = State::Debounce { since: now };
            }
            State::Debounce { since } if passed(since, DEBOUNCE_MICROS) => {
                self.state = State::Connected;
            }
            State::Reset { since } if passed(since, RESET_MICROS) => {
                let status = status & !(PORT_CHANGES | PORT_RESET);
                hardware.write(PORTSC, status);
                self.state = State::ResetEnds { since: now };
            }
            State::ResetEnds { since } => self.reset_ends(hardware, speeds, status, since, now),
            State::Recovery { since, speed } if passed(since, RECOVERY_MICROS) => {
                self.state = State::Enabled(speed);
            }
            _ => {}
        }
    }

    fn reset_ends(
        &mut self,
        hardware: &mut impl Hardware,
        speeds: SpeedSource,
        status: u32,
        since: Micros,
        now: Micros,
    ) {
        if status & PORT_RESET == 0 && status & PORT_ENABLED != 0 {
            acknowledge(hardware);
            let speed = match (speeds, port_speed(status)) {
                (SpeedSource::AlwaysHigh, _) | (_, PortSpeed::High) => Some(Speed::High),
                (_, PortSpeed::Full) => Some(Speed::Full),
                (_, PortSpeed::Low | PortSpeed::Undefined) => None,
            };
            hardware.set_high_speed(speed == Some(Speed::High));
            self.state = match speed {
                Some(speed) => State::Recovery { since: now, speed },
                None => State::Unusable,
            };
        } else if now.saturating_sub(since) >= RESET_END_MICROS {
            self.state = State::Unusable;
        }
    }

    fn cut_power(&mut self, hardware: &mut impl Hardware, now: Micros) {
        hardware.set_high_speed(false);
        hardware.set_vbus(false);
        let status = hardware.read(PORTSC) & !(PORT_POWER | PORT_RESET | PORT_ENABLED);
        hardware.write(PORTSC, status | PORT_CHANGES);
        self.over_current = true;
        self.state = State::Off { until: now.saturating_add(COOL_MICROS) };
    }
}

/// Clears the change bits, and no more: the other writable bits are written as they are.
fn acknowledge(hardware: &mut impl Hardware) {
    let status = hardware.read(PORTSC) & !PORT_RESET;
    hardware.write(PORTSC, status | PORT_CHANGES);
}
