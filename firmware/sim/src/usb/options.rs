//! How the model drive presents itself on the bus, and the faults of its transport.
//!
//! Facts: USB Mass Storage Class, Bulk-Only Transport 1.0; the faults are those that policy section 6.3
//! has to survive.

use super::Speed;

/// How a data-IN phase that is shorter than the host asked for ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortEnd {
    /// The endpoint is halted after the data.
    Stall,
    /// A short or empty packet.
    Packet,
}

/// When a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// With the command of this number, counted from 0 over the life of the device.
    Command(u64),
    /// With every command of this operation code.
    Opcode(u8),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// So many bytes too few in the data-IN phase, status 0 and residue 0 all the same.
    ShortData(usize),
    /// Wrong dCSWTag.
    WrongTag,
    /// Wrong dCSWSignature.
    WrongSignature,
    /// dCSWDataResidue larger than the length asked for.
    ResidueTooLarge,
    /// CSW status 02h without need.
    PhaseError,
    /// A reserved CSW status.
    ReservedStatus(u8),
    /// A CSW of 12 bytes.
    ShortCsw,
    /// STALL in place of the data-IN phase.
    StallData,
    /// STALL once in place of the CSW.
    StallCsw,
    /// STALL of the data-OUT phase.
    StallOut,
    /// No answer until a reset.
    Hang,
    /// The device leaves the bus.
    Disconnect,
}

/// One fault of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsbFault {
    /// When.
    pub trigger: Trigger,
    /// What.
    pub kind: FaultKind,
}

/// How the device presents itself.
#[derive(Clone, Debug)]
pub struct UsbOptions {
    /// Signalling rate.
    pub speed: Speed,
    /// idVendor.
    pub vendor_id: u16,
    /// idProduct.
    pub product_id: u16,
    /// bcdDevice.
    pub device_version: u16,
    /// String 1.
    pub manufacturer: String,
    /// String 2.
    pub product: String,
    /// String 3; `None`: the serial number of the drive.
    pub serial: Option<String>,
    /// Offers UAS as alternate setting 1.
    pub uas: bool,
    /// Is a hub (class 09h) and no mass storage.
    pub hub: bool,
    /// Has a second, vendor-specific interface.
    pub composite: bool,
    /// GET MAX LUN is stalled, as devices with one unit may do.
    pub max_lun_stalls: bool,
    /// End of short data.
    pub short_end: ShortEnd,
    /// Faults of the transport.
    pub faults: Vec<UsbFault>,
    /// Descriptors given in place of the model's own, by type and index: for devices that describe
    /// themselves wrongly.
    pub descriptors: Vec<((u8, u8), Vec<u8>)>,
}

impl Default for UsbOptions {
    /// High speed, vendor and product id of an unassigned test device, no quirks.
    fn default() -> Self {
        Self {
            speed: Speed::High,
            vendor_id: 0x1209,
            product_id: 0x0002,
            device_version: 0x0100,
            manufacturer: "Daleel".into(),
            product: "Model drive".into(),
            serial: None,
            uas: false,
            hub: false,
            composite: false,
            max_lun_stalls: false,
            short_end: ShortEnd::Stall,
            faults: Vec::new(),
            descriptors: Vec::new(),
        }
    }
}
