//! The bridges that can be talked to: those on this computer's USB ports.
//!
//! A program of the tests gives bridges of the simulator in their place, so that the verbs are tested as people use them. The product has no
//! switch for that: evidence never comes from a model.

use std::{path::Path, sync::OnceLock};

use daleel_acquire::devices::Disk;

use super::{
    port::{Identity, Port, PortError},
    usb,
};

/// A bridge that was found and is not open.
pub trait Attached {
    /// Who it is.
    fn identity(&self) -> Identity;

    /// Claims interface 1.
    ///
    /// # Errors
    /// [`PortError::System`], with what helps where the operating system denies it.
    fn open(&self) -> Result<Box<dyn Port>, PortError>;

    /// Whether a source of imaging is read through it: `disk` is what the operating system lists under that path, none for a file. By
    /// strings of USB alone; what the bridge signs of the bytes it delivered proves more.
    fn carries(&self, source: &Path, disk: Option<&Disk>) -> bool {
        let _ = source;
        let usb = disk.and_then(|disk| disk.usb.as_ref());
        usb.is_some_and(|usb| {
            usb.is_bridge && usb.serial.as_deref() == Some(self.identity().serial.as_str())
        })
    }
}

/// Finds bridges.
pub type Finder = fn() -> Result<Vec<Box<dyn Attached>>, PortError>;

static OTHERS: OnceLock<Finder> = OnceLock::new();

/// Bridges from elsewhere for the rest of this process; whether nobody was faster.
pub fn find_with(finder: Finder) -> bool {
    OTHERS.set(finder).is_ok()
}

/// The bridges of this computer.
///
/// # Errors
/// When the operating system does not list its devices.
pub fn find() -> Result<Vec<Box<dyn Attached>>, PortError> {
    if let Some(finder) = OTHERS.get() {
        return finder();
    }
    let found = usb::find()?;
    Ok(found.into_iter().map(|one| -> Box<dyn Attached> { Box::new(one) }).collect())
}
