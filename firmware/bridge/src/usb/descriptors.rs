//! Descriptors of an attached device, read without trusting a byte of them.
//!
//! Facts: USB 2.0, sections 9.6.1 (device), 9.6.3 (configuration), 9.6.5 (interface), 9.6.6 (endpoint), 9.6.7 (string) and 5.5.3,
//! 5.8.3 (packet sizes); Bulk-Only Transport, section 4; the published policy, section 6.3 (no hubs, no composite devices).

use wb_policy::capture::Bytes;

use crate::host::Speed;

/// Length of a device descriptor.
pub const DEVICE_BYTES: usize = 18;
/// Length of the configuration descriptor without what follows it.
pub const CONFIGURATION_BYTES: usize = 9;
/// Longest configuration that is read, all its descriptors together. A disk with both transports needs some 85 bytes.
pub const LONGEST_CONFIGURATION: u16 = 255;

const DEVICE: u8 = 1;
const CONFIGURATION: u8 = 2;
const STRING: u8 = 3;
const INTERFACE: u8 = 4;
const ENDPOINT: u8 = 5;
const HUB_CLASS: u8 = 0x09;
/// Mass storage, transparent SCSI commands, bulk-only transport.
const BULK_ONLY: [u8; 3] = [0x08, 0x06, 0x50];

/// Why descriptors are not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// They break the standard.
    Malformed,
    /// A hub.
    Hub,
    /// More than one interface.
    Composite,
    /// No setting with bulk-only transport.
    NoBulkOnly,
}

/// What counts of a device descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Vendor id.
    pub vendor: u16,
    /// Product id.
    pub product: u16,
    /// Device release in BCD.
    pub release: u16,
    /// Number of the serial number string, 0 for none.
    pub serial_index: u8,
}

/// The setting with bulk-only transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkOnly {
    /// Value for SET_CONFIGURATION.
    pub configuration: u8,
    /// Interface number.
    pub interface: u8,
    /// Alternate setting.
    pub alternate: u8,
    /// Whether the interface has more than one setting.
    pub has_alternates: bool,
    /// Number of the bulk-IN endpoint.
    pub bulk_in: u8,
    /// Number of the bulk-OUT endpoint.
    pub bulk_out: u8,
    /// Packet size of the bulk-IN endpoint.
    pub max_packet_in: u16,
    /// Packet size of the bulk-OUT endpoint.
    pub max_packet_out: u16,
}

/// Packet size of endpoint 0 from the first eight bytes of the device descriptor.
///
/// # Errors
///
/// [`Unfit::Malformed`] for anything but the sizes of section 5.5.3; [`Unfit::Hub`] for a hub.
pub fn endpoint0_packet(first: &[u8], speed: Speed) -> Result<u8, Unfit> {
    let Some(&[length, kind, _, _, class, _, _, packet]) = first.first_chunk::<8>() else {
        return Err(Unfit::Malformed);
    };
    let fits = match speed {
        Speed::Full => matches!(packet, 8 | 16 | 32 | 64),
        Speed::High => packet == 64,
    };
    if usize::from(length) != DEVICE_BYTES || kind != DEVICE || !fits {
        return Err(Unfit::Malformed);
    }
    if class == HUB_CLASS { Err(Unfit::Hub) } else { Ok(packet) }
}

/// Parses the whole device descriptor.
///
/// # Errors
///
/// [`Unfit::Malformed`] for a wrong length or kind or no configuration; [`Unfit::Hub`] for a hub.
pub fn device(bytes: &[u8]) -> Result<Device, Unfit> {
    let bytes: &[u8; DEVICE_BYTES] = bytes.try_into().map_err(|_| Unfit::Malformed)?;
    let [
        length,
        kind,
        _,
        _,
        class,
        _,
        _,
        _,
        v0,
        v1,
        p0,
        p1,
        r0,
        r1,
        _,
        _,
        serial_index,
        configurations,
    ] = *bytes;
    if usize::from(length) != DEVICE_BYTES || kind != DEVICE || configurations == 0 {
        return Err(Unfit::Malformed);
    }
    if class == HUB_CLASS {
        return Err(Unfit::Hub);
    }
    Ok(Device {
        vendor: u16::from_le_bytes([v0, v1]),
        product: u16::from_le_bytes([p0, p1]),
        release: u16::from_le_bytes([r0, r1]),
        serial_index,
    })
}

/// Length of the whole configuration by its first descriptor.
///
/// # Errors
///
/// [`Unfit::Composite`] for more than one interface, [`Unfit::Malformed`] for what breaks the standard or is longer than is read.
pub fn configuration_length(head: &[u8]) -> Result<u16, Unfit> {
    let (length, interfaces, _) = configuration_head(head)?;
    if interfaces > 1 {
        return Err(Unfit::Composite);
    }
    let longer_than_head = usize::from(length) > CONFIGURATION_BYTES;
    if longer_than_head && length <= LONGEST_CONFIGURATION {
        Ok(length)
    } else {
        Err(Unfit::Malformed)
    }
}

/// Total length, number of interfaces, and value of a configuration.
fn configuration_head(bytes: &[u8]) -> Result<(u16, u8, u8), Unfit> {
    let Some(&[length, kind, t0, t1, interfaces, value, _, _, _]) =
        bytes.first_chunk::<CONFIGURATION_BYTES>()
    else {
        return Err(Unfit::Malformed);
    };
    let fits = usize::from(length) == CONFIGURATION_BYTES && kind == CONFIGURATION;
    if fits && interfaces > 0 && value > 0 {
        Ok((u16::from_le_bytes([t0, t1]), interfaces, value))
    } else {
        Err(Unfit::Malformed)
    }
}

/// One setting of an interface while its endpoints are being read.
#[derive(Clone, Copy)]
struct Setting {
    interface: u8,
    alternate: u8,
    is_bulk_only: bool,
    announced: u8,
    endpoints: u8,
    bulk_in: Option<(u8, u16)>,
    bulk_out: Option<(u8, u16)>,
}

/// Finds the setting with bulk-only transport in a whole configuration: the first one of the only interface.
///
/// # Errors
///
/// [`Unfit`]; every descriptor is walked, also those behind the setting that is chosen.
pub fn bulk_only(bytes: &[u8], speed: Speed) -> Result<BulkOnly, Unfit> {
    let (total, interfaces, configuration) = configuration_head(bytes)?;
    if usize::from(total) != bytes.len() {
        return Err(Unfit::Malformed);
    }
    if interfaces > 1 {
        return Err(Unfit::Composite);
    }
    let mut rest = bytes.get(CONFIGURATION_BYTES..).unwrap_or_default();
    let mut settings = Settings::default();
    while let Some((descriptor, left)) = next(rest)? {
        settings.add(descriptor, speed)?;
        rest = left;
    }
    settings.finish(configuration)
}

/// The settings seen so far.
#[derive(Default)]
struct Settings {
    open: Option<Setting>,
    count: u8,
    chosen: Option<Setting>,
}

impl Settings {
    fn add(&mut self, descriptor: &[u8], speed: Speed) -> Result<(), Unfit> {
        match descriptor.get(1) {
            Some(&INTERFACE) => self.interface(descriptor),
            Some(&ENDPOINT) => {
                self.open.as_mut().ok_or(Unfit::Malformed)?.endpoint(descriptor, speed)
            }
            // A second device or configuration descriptor inside a configuration is no class descriptor.
            Some(&(DEVICE | CONFIGURATION | STRING)) => Err(Unfit::Malformed),
            _ => Ok(()),
        }
    }

    fn interface(&mut self, descriptor: &[u8]) -> Result<(), Unfit> {
        let &[length, _, interface, alternate, announced, class, subclass, protocol, _] =
            descriptor.first_chunk::<9>().ok_or(Unfit::Malformed)?;
        if length != 9 {
            return Err(Unfit::Malformed);
        }
        if class == HUB_CLASS {
            return Err(Unfit::Hub);
        }
        if self.open.is_some_and(|open| open.interface != interface) {
            return Err(Unfit::Composite);
        }
        self.close()?;
        self.count = self.count.checked_add(1).ok_or(Unfit::Malformed)?;
        self.open = Some(Setting {
            interface,
            alternate,
            is_bulk_only: [class, subclass, protocol] == BULK_ONLY,
            announced,
            endpoints: 0,
            bulk_in: None,
            bulk_out: None,
        });
        Ok(())
    }

    /// Ends the setting whose endpoints were read.
    fn close(&mut self) -> Result<(), Unfit> {
        let Some(open) = self.open else { return Ok(()) };
        if open.announced != open.endpoints {
            return Err(Unfit::Malformed);
        }
        if self.chosen.is_none() && open.is_bulk_only {
            self.chosen = Some(open);
        }
        Ok(())
    }

    fn finish(mut self, configuration: u8) -> Result<BulkOnly, Unfit> {
        self.close()?;
        let chosen = self.chosen.ok_or(Unfit::NoBulkOnly)?;
        let (bulk_in, max_packet_in) = chosen.bulk_in.ok_or(Unfit::Malformed)?;
        let (bulk_out, max_packet_out) = chosen.bulk_out.ok_or(Unfit::Malformed)?;
        Ok(BulkOnly {
            configuration,
            interface: chosen.interface,
            alternate: chosen.alternate,
            has_alternates: self.count > 1,
            bulk_in,
            bulk_out,
            max_packet_in,
            max_packet_out,
        })
    }
}

impl Setting {
    fn endpoint(&mut self, descriptor: &[u8], speed: Speed) -> Result<(), Unfit> {
        let &[_, _, address, attributes, m0, m1, _] =
            descriptor.first_chunk::<7>().ok_or(Unfit::Malformed)?;
        self.endpoints = self.endpoints.checked_add(1).ok_or(Unfit::Malformed)?;
        let is_bulk = attributes & 0x03 == 0x02;
        if !(self.is_bulk_only && is_bulk) {
            return Ok(());
        }
        let number = address & 0x0F;
        let size = u16::from_le_bytes([m0, m1]);
        let fits = match speed {
            Speed::Full => matches!(size, 8 | 16 | 32 | 64),
            Speed::High => size == 512,
        };
        let own = if address & 0x80 == 0 { &mut self.bulk_out } else { &mut self.bulk_in };
        if address & 0x70 != 0 || number == 0 || !fits || own.is_some() {
            return Err(Unfit::Malformed);
        }
        *own = Some((number, size));
        Ok(())
    }
}

/// A descriptor, and what follows it.
type Split<'a> = (&'a [u8], &'a [u8]);

/// The next descriptor; `None` at the end.
fn next(bytes: &[u8]) -> Result<Option<Split<'_>>, Unfit> {
    let Some(&length) = bytes.first() else { return Ok(None) };
    if length < 2 {
        return Err(Unfit::Malformed);
    }
    bytes.split_at_checked(usize::from(length)).map(Some).ok_or(Unfit::Malformed)
}

/// The contents of a string descriptor, UTF-16LE as it came; `None` if it is no string descriptor or is empty.
#[must_use]
pub fn string(bytes: &[u8]) -> Option<&[u8]> {
    let length = usize::from(*bytes.first()?);
    let kind = *bytes.get(1)?;
    let content = bytes.get(2..length)?;
    (kind == STRING && !content.is_empty() && content.len().is_multiple_of(2)).then_some(content)
}

/// The first language of string descriptor 0.
#[must_use]
pub fn first_language(bytes: &[u8]) -> Option<u16> {
    let &[low, high] = string(bytes)?.first_chunk::<2>()?;
    Some(u16::from_le_bytes([low, high]))
}

/// A serial number as it is kept.
#[must_use]
pub fn serial(bytes: &[u8]) -> Option<Bytes<126>> {
    string(bytes).map(Bytes::new)
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;
    use proptest::prelude::*;

    use super::*;

    const STICK: [u8; 32] = hex!(
        "09 02 20 00 01 01 00 80 32  09 04 00 00 02 08 06 50 00  07 05 81 02 00 02 00  07 05 02 02 00 02 00"
    );
    /// Alternate 0 bulk-only, alternate 1 UAS with pipe usage descriptors.
    const UAS: [u8; 85] = hex!(
        "09 02 55 00 01 01 00 C0 00"
        "09 04 00 00 02 08 06 50 00  07 05 81 02 00 02 00  07 05 02 02 00 02 00"
        "09 04 00 01 04 08 06 62 00"
        "07 05 81 02 00 02 00  04 24 03 00  07 05 02 02 00 02 00  04 24 04 00"
        "07 05 83 02 00 02 00  04 24 02 00  07 05 04 02 00 02 00  04 24 01 00"
    );

    fn stick_with(index: usize, value: u8) -> Result<BulkOnly, Unfit> {
        let mut bytes = STICK;
        if let Some(byte) = bytes.get_mut(index) {
            *byte = value;
        }
        bulk_only(&bytes, Speed::High)
    }

    #[test]
    fn the_bulk_only_setting_is_found() {
        let chosen = bulk_only(&STICK, Speed::High).expect("a stick");
        assert_eq!((chosen.bulk_in, chosen.bulk_out, chosen.has_alternates), (1, 2, false));
        let chosen = bulk_only(&UAS, Speed::High).expect("a disk with both transports");
        assert_eq!((chosen.alternate, chosen.has_alternates), (0, true));
        assert_eq!(configuration_length(&UAS), Ok(85));
    }

    #[test]
    fn bulk_only_as_a_later_alternate_is_found() {
        let mut bytes = UAS;
        for (index, value) in [(16, 0x62), (39, 0x50)] {
            if let Some(byte) = bytes.get_mut(index) {
                *byte = value;
            }
        }
        // The four bulk pipes of UAS are two too many for bulk-only transport.
        assert_eq!(bulk_only(&bytes, Speed::High), Err(Unfit::Malformed));
        let two = hex!(
            "09 02 37 00 01 01 00 C0 00"
            "09 04 00 00 02 08 06 62 00  07 05 81 02 00 02 00  07 05 02 02 00 02 00"
            "09 04 00 01 02 08 06 50 00  07 05 83 02 00 02 00  07 05 04 02 00 02 00"
        );
        let chosen = bulk_only(&two, Speed::High).expect("alternate 1");
        assert_eq!((chosen.alternate, chosen.bulk_in, chosen.bulk_out), (1, 3, 4));
    }

    /// B11: no hub, no composite device, nothing but bulk-only mass storage.
    #[test]
    fn what_is_no_plain_disk_is_told_apart() {
        assert_eq!(stick_with(4, 2), Err(Unfit::Composite));
        assert_eq!(stick_with(14, 9), Err(Unfit::Hub));
        assert_eq!(stick_with(16, 0x62), Err(Unfit::NoBulkOnly));
        assert_eq!(stick_with(14, 3), Err(Unfit::NoBulkOnly));
        let hidden = hex!(
            "09 02 29 00 01 01 00 80 32"
            "09 04 00 00 02 08 06 50 00  07 05 81 02 00 02 00  07 05 02 02 00 02 00"
            "09 04 01 00 00 03 01 01 00"
        );
        assert_eq!(bulk_only(&hidden, Speed::High), Err(Unfit::Composite));
        let hub = hex!("12 01 00 02 09 00 01 40 24 1D 00 10 01 00 00 00 00 01");
        assert_eq!(device(&hub), Err(Unfit::Hub));
        assert_eq!(endpoint0_packet(&hub, Speed::High), Err(Unfit::Hub));
    }

    #[test]
    fn what_breaks_the_standard_is_malformed() {
        for (index, value) in
            [(0, 8), (1, 1), (2, 33), (4, 0), (5, 0), (9, 1), (9, 8), (13, 3), (20, 0x80)]
        {
            assert_eq!(stick_with(index, value), Err(Unfit::Malformed), "byte {index} = {value}");
        }
        assert_eq!(stick_with(22, 0x40), Err(Unfit::Malformed));
        assert_eq!(stick_with(25, 0), Err(Unfit::Malformed));
        assert_eq!(bulk_only(&STICK, Speed::Full), Err(Unfit::Malformed));
        let long = hex!("09 02 00 01 01 01 00 80 32");
        assert_eq!(configuration_length(&long), Err(Unfit::Malformed));
    }

    #[test]
    fn strings() {
        assert_eq!(first_language(&hex!("04 03 09 04")), Some(0x0409));
        assert_eq!(first_language(&hex!("02 03")), None);
        assert_eq!(string(&hex!("06 03 41 00 42 00 FF FF")), Some(&hex!("41 00 42 00")[..]));
        assert_eq!(string(&hex!("08 03 41 00 42 00")), None);
        assert_eq!(string(&hex!("05 03 41 00 42")), None);
        assert_eq!(string(&hex!("00 03")), None);
    }

    proptest! {
        /// B16: no bytes of a device make the parsers panic, and what they accept keeps its bounds.
        #[test]
        fn hostile_bytes_are_bounded(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = device(&bytes);
            let _ = configuration_length(&bytes);
            let _ = first_language(&bytes);
            if let Some(text) = string(&bytes) {
                prop_assert!(text.len() <= 253);
            }
            for speed in [Speed::Full, Speed::High] {
                let _ = endpoint0_packet(&bytes, speed);
                let _ = bulk_only(&bytes, speed);
            }
        }

        /// B16: one or two changed bytes of a good configuration are refused, or give endpoints that the standard allows.
        #[test]
        fn changed_configurations_keep_the_standard(
            changes in proptest::collection::vec((0..85_usize, any::<u8>()), 1..3),
        ) {
            let mut bytes = UAS;
            for (index, value) in changes {
                if let Some(byte) = bytes.get_mut(index) {
                    *byte = value;
                }
            }
            if let Ok(chosen) = bulk_only(&bytes, Speed::High) {
                prop_assert!((1..=15).contains(&chosen.bulk_in));
                prop_assert!((1..=15).contains(&chosen.bulk_out));
                prop_assert_eq!((chosen.max_packet_in, chosen.max_packet_out), (512, 512));
                prop_assert!(chosen.configuration > 0);
            }
        }
    }
}
