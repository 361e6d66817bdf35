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

/// Without power at the driver's start, so that a device that takes its power from the port begins anew with the bridge, also after a restart that
/// took it away for no more than a moment.
const OFF_MICROS: Micros = 500_000;
/// Supply switch and device, after power comes on (USB 2.0, 7.1.7.3: 100 ms).
const POWER_MICROS: Micros = 100_000;
const DEBOUNCE_MICROS: Micros = 100_000;
/// At least 50 ms.
const RESET_MICROS: Micros = 55_000;
/// EHCI 1.0, 2.3.9: within 2 ms the port says that the reset is over; as much again for doubt.
const RESET_END_MICROS: Micros = 4_000;
/// Resets before a device that none of them enables is given up.
const RESET_TRIES: u8 = 3;
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
        tries: u8,
    },
    ResetEnds {
        since: Micros,
        tries: u8,
    },
    Recovery {
        since: Micros,
        speed: Speed,
    },
    Enabled(Speed),
    /// Low speed, or a device that no reset enabled: until it is taken away.
    Unusable,
}

/// The root port.
#[derive(Debug)]
pub struct RootPort {
    state: State,
    over_current: bool,
}

impl RootPort {
    /// A port whose power has just been taken off.
    pub fn new(now: Micros) -> Self {
        Self { state: State::Off { until: now.saturating_add(OFF_MICROS) }, over_current: false }
    }

    /// Speed of the device, while the port is enabled.
    pub fn speed(&self) -> Option<Speed> {
        match self.state {
            State::Enabled(speed) => Some(speed),
            _ => None,
        }
    }

    /// Begins anew when the controller is reset, which takes the port power bit with it. A switch of the board stays as it is: a drive does not lose
    /// its supply for the controller's sake.
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
        self.drive_reset(hardware, RESET_TRIES, now);
    }

    fn drive_reset(&mut self, hardware: &mut impl Hardware, tries: u8, now: Micros) {
        hardware.set_high_speed(false);
        // Enabled is written as zero together with the reset (EHCI 1.0, 2.3.9).
        let status = hardware.read(PORTSC) & !(PORT_CHANGES | PORT_ENABLED);
        hardware.write(PORTSC, status | PORT_RESET);
        self.state = State::Reset { since: now, tries: tries.saturating_sub(1) };
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
            State::Reset { since, tries } if passed(since, RESET_MICROS) => {
                // Enabled as one changes nothing; as zero it would disable a port whose reset the chip ended just now.
                let status = status & !(PORT_CHANGES | PORT_RESET);
                hardware.write(PORTSC, status | PORT_ENABLED);
                self.state = State::ResetEnds { since: now, tries };
            }
            State::ResetEnds { since, tries } => {
                let is_late = passed(since, RESET_END_MICROS);
                self.reset_ends(hardware, speeds, status, now);
                if is_late && matches!(self.state, State::ResetEnds { .. }) {
                    self.not_enabled(hardware, tries, now);
                }
            }
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
        }
    }

    /// A device may miss a reset while it is still starting.
    fn not_enabled(&mut self, hardware: &mut impl Hardware, tries: u8, now: Micros) {
        if tries > 0 {
            self.drive_reset(hardware, tries, now);
        } else {
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
