//! What carries requests to a bridge: a USB port, or the bridge of the simulator in this process.
//!
//! Facts: published requirements, section 5. Everything goes over interface 1; nothing here can reach mass storage.

use std::time::Duration;

use wb_attest::interface::Setup;

/// How the operating system knows a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the bus.
    pub bus: String,
    /// Address on it.
    pub address: u8,
    /// Product string.
    pub product: String,
    /// Serial string: the first 24 hex digits of the key id, zeros without a key.
    pub serial: String,
    /// bcdDevice: the firmware's version.
    pub release: u16,
    /// Megabits per second of the connection, as far as known.
    pub speed: Option<u16>,
}

impl Identity {
    /// The firmware's version as a person reads it: `0.10` for 0010h.
    pub fn release_text(&self) -> String {
        let [major, minor] = self.release.to_be_bytes();
        format!("{major:x}.{minor:02x}")
    }

    /// One line that tells this bridge from others.
    pub fn line(&self) -> String {
        let (serial, bus) = (shown(&self.serial), shown(&self.bus));
        format!("{serial} (bus {bus}, address {})", self.address)
    }
}

/// Text from a device for a terminal, whatever the device has put into it: control characters, and characters that are not seen or that turn
/// the direction of what follows, are escaped.
pub fn shown(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c,
                '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
                | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
    };
    text.chars()
        .flat_map(|c| if is_hidden(c) { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// The bridge stalled it: wrong state, or not known.
    #[error("the bridge refused it")]
    Refused,
    /// The bridge left the bus.
    #[error("the bridge is gone")]
    Gone,
    /// No answer in time.
    #[error("the bridge did not answer in time")]
    Silent,
    /// The operating system.
    #[error("{0}")]
    System(String),
}

/// Interface 1 of a bridge.
pub trait Port {
    /// Who it is.
    fn identity(&self) -> &Identity;

    /// A request with an answer.
    ///
    /// # Errors
    /// [`PortError`].
    fn control_in(&mut self, setup: &Setup) -> Result<Vec<u8>, PortError>;

    /// A request with data.
    ///
    /// # Errors
    /// [`PortError`].
    fn control_out(&mut self, setup: &Setup, data: &[u8]) -> Result<(), PortError>;

    /// Log frames; empty when none came in this time.
    ///
    /// # Errors
    /// [`PortError`].
    fn read_log(&mut self, wait: Duration) -> Result<Vec<u8>, PortError>;

    /// Lets time pass.
    fn pause(&mut self, time: Duration);

    /// Waits for the bridge to enumerate anew, as it does with a new serial when it has got a key.
    ///
    /// # Errors
    /// [`PortError::Gone`] when it does not come back in this time.
    fn reconnect(&mut self, within: Duration) -> Result<(), PortError>;
}

impl<P: Port + ?Sized> Port for Box<P> {
    fn identity(&self) -> &Identity {
        (**self).identity()
    }

    fn control_in(&mut self, setup: &Setup) -> Result<Vec<u8>, PortError> {
        (**self).control_in(setup)
    }

    fn control_out(&mut self, setup: &Setup, data: &[u8]) -> Result<(), PortError> {
        (**self).control_out(setup, data)
    }

    fn read_log(&mut self, wait: Duration) -> Result<Vec<u8>, PortError> {
        (**self).read_log(wait)
    }

    fn pause(&mut self, time: Duration) {
        (**self).pause(time);
    }

    fn reconnect(&mut self, within: Duration) -> Result<(), PortError> {
        (**self).reconnect(within)
    }
}
