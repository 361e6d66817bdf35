//! Descriptors of the model drive as a USB device.
//!
//! Facts: USB 2.0 9.6; bulk-only transport 1.0, chapter 4; UAS 4.2 (alternate setting 1, pipe usage
//! descriptors).

use super::Speed;
use super::options::UsbOptions;
use crate::drive::ModelDrive;

/// Number of the bulk-IN endpoint.
pub(super) const ENDPOINT_IN: u8 = 1;
/// Number of the bulk-OUT endpoint: another one, so that a driver which assumes equal numbers fails.
pub(super) const ENDPOINT_OUT: u8 = 2;

pub(super) fn device(options: &UsbOptions) -> Vec<u8> {
    let class = if options.hub { 0x09 } else { 0x00 };
    let [vendor_low, vendor_high] = options.vendor_id.to_le_bytes();
    let [product_low, product_high] = options.product_id.to_le_bytes();
    let [version_low, version_high] = options.device_version.to_le_bytes();
    vec![
        18,
        0x01,
        0x00,
        0x02,
        class,
        0,
        0,
        64,
        vendor_low,
        vendor_high,
        product_low,
        product_high,
        version_low,
        version_high,
        1,
        2,
        3,
        1,
    ]
}

/// DEVICE QUALIFIER of a high-speed device: what it is at full speed.
pub(super) fn qualifier(options: &UsbOptions) -> Option<Vec<u8>> {
    (options.speed == Speed::High).then(|| vec![10, 0x06, 0x00, 0x02, 0, 0, 0, 64, 1, 0])
}

fn interface(number: u8, alternate: u8, endpoints: u8, class: [u8; 3]) -> Vec<u8> {
    let [class, sub_class, protocol] = class;
    vec![9, 0x04, number, alternate, endpoints, class, sub_class, protocol, 0]
}

fn endpoint(address: u8, attributes: u8, packet: usize, interval: u8) -> Vec<u8> {
    let [low, high] = u16::try_from(packet).unwrap_or(u16::MAX).to_le_bytes();
    vec![7, 0x05, address, attributes, low, high, interval]
}

/// Configuration with everything that belongs to it.
pub(super) fn configuration(options: &UsbOptions) -> Vec<u8> {
    let packet = options.speed.bulk_packet_bytes();
    let mut body = Vec::new();
    let mut interfaces = 1u8;
    if options.hub {
        body.extend(interface(0, 0, 1, [0x09, 0, 0]));
        body.extend(endpoint(0x81, 0x03, 1, 12));
    } else {
        body.extend(interface(0, 0, 2, [0x08, 0x06, 0x50]));
        body.extend(endpoint(0x80 | ENDPOINT_IN, 0x02, packet, 0));
        body.extend(endpoint(ENDPOINT_OUT, 0x02, packet, 0));
    }
    if options.uas {
        body.extend(interface(0, 1, 4, [0x08, 0x06, 0x62]));
        for (address, pipe) in [(0x03, 1), (0x84, 2), (0x85, 3), (0x06, 4)] {
            body.extend(endpoint(address, 0x02, packet, 0));
            body.extend([4, 0x24, pipe, 0]);
        }
    }
    if options.composite {
        body.extend(interface(1, 0, 0, [0xFF, 0, 0]));
        interfaces = 2;
    }
    let total = u16::try_from(body.len().saturating_add(9)).unwrap_or(u16::MAX);
    let [low, high] = total.to_le_bytes();
    let mut data = vec![9, 0x02, low, high, interfaces, 1, 0, 0xC0, 0];
    data.extend(body);
    data
}

/// String descriptor `index`; 0 lists the languages.
pub(super) fn string(
    options: &UsbOptions,
    drive: Option<&ModelDrive>,
    index: u8,
) -> Option<Vec<u8>> {
    let text = match index {
        0 => return Some(vec![4, 0x03, 0x09, 0x04]),
        1 => options.manufacturer.clone(),
        2 => options.product.clone(),
        3 => options
            .serial
            .clone()
            .or_else(|| drive.map(|drive| drive.config().identity.serial.clone()))?,
        _ => return None,
    };
    let units: Vec<u8> = text.encode_utf16().take(126).flat_map(u16::to_le_bytes).collect();
    let mut data = vec![u8::try_from(units.len().saturating_add(2)).unwrap_or(u8::MAX), 0x03];
    data.extend(units);
    Some(data)
}
