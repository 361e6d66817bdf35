//! The bulk-only transport of the model drive, and its faults.

#![allow(clippy::arithmetic_side_effects)]

use super::*;
use crate::drive::{Base, DriveConfig, ModelDrive};
use proptest::prelude::*;

fn device(options: UsbOptions) -> ModelUsbDrive {
    let mut device = ModelUsbDrive::new(ModelDrive::new(DriveConfig::default()), options);
    device.control([0, 9, 1, 0, 0, 0, 0, 0], &[]).unwrap();
    device
}

fn with_fault(kind: FaultKind) -> ModelUsbDrive {
    let faults = vec![UsbFault { trigger: Trigger::Opcode(0x28), kind }];
    device(UsbOptions { faults, ..UsbOptions::default() })
}

fn cbw(tag: u32, length: u32, to_host: bool, lun: u8, cdb: &[u8]) -> Vec<u8> {
    let mut bytes = b"USBC".to_vec();
    bytes.extend(tag.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend([if to_host { 0x80 } else { 0 }, lun, u8::try_from(cdb.len()).unwrap()]);
    bytes.extend(cdb);
    bytes.resize(31, 0);
    bytes
}

const READ_8: [u8; 10] = [0x28, 0, 0, 0, 0, 16, 0, 0, 8, 0];
const WRITE_1: [u8; 10] = [0x2A, 0, 0, 0, 0, 16, 0, 0, 1, 0];
const INQUIRY: [u8; 6] = [0x12, 0, 0, 0, 0xFF, 0];
const READY: [u8; 6] = [0; 6];

/// Data phase as a host runs it: asks until a short packet, STALL, or everything is there.
fn collect(device: &mut ModelUsbDrive, wanted: usize) -> (Vec<u8>, InResult) {
    let packet = device.speed().bulk_packet_bytes();
    let mut data = Vec::new();
    loop {
        match device.bulk_in(1, wanted - data.len()) {
            InResult::Data(part) => {
                let short = part.len() % packet != 0 || part.is_empty();
                data.extend(&part);
                if short || data.len() >= wanted {
                    return (data, InResult::Data(part));
                }
            }
            other => return (data, other),
        }
    }
}

fn clear_halts(device: &mut ModelUsbDrive) {
    for endpoint in [0x81, 0x02] {
        device.control([0x02, 0x01, 0, 0, endpoint, 0, 0, 0], &[]).unwrap();
    }
}

/// A whole command: data, residue, status.
fn command(
    device: &mut ModelUsbDrive,
    length: u32,
    to_host: bool,
    cdb: &[u8],
    data_out: &[u8],
) -> (Vec<u8>, u32, u8) {
    assert_eq!(device.bulk_out(2, &cbw(7, length, to_host, 0, cdb)), OutResult::Ack(31));
    let mut data = Vec::new();
    if length > 0 && to_host {
        data = collect(device, usize::try_from(length).unwrap()).0;
    }
    if !data_out.is_empty() {
        assert_eq!(device.bulk_out(2, data_out), OutResult::Ack(data_out.len()));
    }
    let mut csw = device.bulk_in(1, 13);
    if csw == InResult::Stall {
        clear_halts(device);
        csw = device.bulk_in(1, 13);
    }
    let InResult::Data(csw) = csw else { panic!("no CSW: {csw:?}") };
    assert_eq!((&csw[..4], &csw[4..8]), (&b"USBS"[..], &7u32.to_le_bytes()[..]));
    (data, u32::from_le_bytes(csw[8..12].try_into().unwrap()), csw[12])
}

/// HWB-RM-02: a read over the bus is the medium, at both speeds.
#[test]
fn reads_give_the_medium() {
    for speed in [Speed::High, Speed::Full] {
        let mut device = device(UsbOptions { speed, ..UsbOptions::default() });
        let (data, residue, status) = command(&mut device, 4096, true, &READ_8, &[]);
        assert_eq!((residue, status), (0, 0));
        assert_eq!(data, device.drive(0).unwrap().peek(16, 8));
        assert!(device.only_cbws());
    }
}

/// HWB-AM-01: a write over the bus arrives, is logged, and shows in the digest.
#[test]
fn writes_are_obeyed_and_logged() {
    let mut device = device(UsbOptions::default());
    let state = device.drive(0).unwrap().state_digest();
    assert_eq!(command(&mut device, 512, false, &WRITE_1, &[9; 512]), (vec![], 0, 0));
    assert_eq!(device.drive(0).unwrap().peek(16, 1), vec![9; 512]);
    assert_ne!(device.drive(0).unwrap().state_digest(), state);
    assert!(!device.only_cbws());
    assert_eq!(device.bulk_out_log().iter().map(|t| t.length).collect::<Vec<_>>(), [31, 512]);
}

/// Transport 6.7: short data ends with STALL or a short packet, whole packets with STALL or an empty one.
#[test]
fn short_data_ends_as_configured() {
    for short_end in [ShortEnd::Stall, ShortEnd::Packet] {
        let mut device = device(UsbOptions { short_end, ..UsbOptions::default() });
        let (data, residue, status) = command(&mut device, 255, true, &INQUIRY, &[]);
        assert_eq!((data.len(), residue, status), (96, 159, 0));
        let (data, residue, status) = command(&mut device, 8192, true, &READ_8, &[]);
        assert_eq!((data.len(), residue, status), (4096, 4096, 0));
        let (data, residue, status) = command(&mut device, 512, true, &READY, &[]);
        assert_eq!((data.len(), residue, status), (0, 512, 0));
    }
}

/// Transport 6.2, 6.6.1: an invalid CBW halts both endpoints until Reset Recovery.
#[test]
fn invalid_cbws_need_reset_recovery() {
    let mut long = cbw(1, 0, true, 0, &READY);
    long.push(0);
    let mut no_signature = cbw(1, 0, true, 0, &READY);
    no_signature[0] = b'X';
    let mut long_cdb = cbw(1, 0, true, 0, &READY);
    long_cdb[14] = 17;
    let mut reserved = cbw(1, 0, true, 0, &READY);
    reserved[12] |= 1;
    let other_unit = cbw(1, 0, true, 1, &READY);
    let mut no_cdb = cbw(1, 0, true, 0, &READY);
    no_cdb[14] = 0;
    for bad in [long, no_signature, long_cdb, reserved, other_unit, no_cdb] {
        let mut device = device(UsbOptions::default());
        assert_eq!(device.bulk_out(2, &bad), OutResult::Stall);
        clear_halts(&mut device);
        assert_eq!(device.bulk_in(1, 13), InResult::Stall);
        assert_eq!(device.bulk_out(2, &cbw(1, 0, true, 0, &READY)), OutResult::Stall);
        device.control([0x21, 0xFF, 0, 0, 0, 0, 0, 0], &[]).unwrap();
        clear_halts(&mut device);
        assert_eq!(command(&mut device, 0, true, &READY, &[]).2, 0);
        assert_eq!(device.commands(), 1);
    }
}

/// Thirteen cases: data where none or the other direction is expected is a phase error.
#[test]
fn direction_mismatch_is_a_phase_error() {
    let mut device = device(UsbOptions::default());
    assert_eq!(command(&mut device, 0, true, &READ_8, &[]).2, 2);
    assert_eq!(command(&mut device, 512, false, &READ_8, &[0; 512]).2, 2);
    assert_eq!(command(&mut device, 512, true, &READ_8, &[]).2, 2);
}

/// Policy 6.3: each fault of the transport, as a host sees it.
#[test]
fn transport_faults() {
    let run = |kind| {
        let mut device = with_fault(kind);
        assert_eq!(device.bulk_out(2, &cbw(7, 4096, true, 0, &READ_8)), OutResult::Ack(31));
        let (data, _) = collect(&mut device, 4096);
        let mut csw = device.bulk_in(1, 13);
        let stalled = csw == InResult::Stall;
        if stalled {
            clear_halts(&mut device);
            csw = device.bulk_in(1, 13);
        }
        let InResult::Data(csw) = csw else { panic!("no CSW") };
        (data.len(), csw, stalled)
    };
    let good = b"USBS\x07\0\0\0\0\0\0\0\0".to_vec();
    assert_eq!(run(FaultKind::ShortData(512)), (3584, good.clone(), true));
    assert_eq!(run(FaultKind::StallCsw), (4096, good, true));
    assert_eq!(run(FaultKind::WrongTag).1[4], 0xF8);
    assert_ne!(run(FaultKind::WrongSignature).1[..4], *b"USBS");
    assert_eq!(run(FaultKind::ResidueTooLarge).1[8..12], 4097u32.to_le_bytes());
    assert_eq!(run(FaultKind::PhaseError).1[12], 2);
    assert_eq!(run(FaultKind::ReservedStatus(5)).1[12], 5);
    assert_eq!(run(FaultKind::ShortCsw).1.len(), 12);
    assert_eq!(run(FaultKind::StallData).0, 0);
}

/// D-07: a device that hangs answers again after a reset; one that leaves the bus does not.
#[test]
fn hang_and_disconnect() {
    let mut device = with_fault(FaultKind::Hang);
    device.bulk_out(2, &cbw(7, 4096, true, 0, &READ_8));
    assert_eq!(device.bulk_in(1, 4096), InResult::Nak);
    device.reset();
    device.control([0, 9, 1, 0, 0, 0, 0, 0], &[]).unwrap();
    assert_eq!(command(&mut device, 0, true, &READY, &[]).2, 0);

    let mut device = with_fault(FaultKind::Disconnect);
    device.bulk_out(2, &cbw(7, 4096, true, 0, &READ_8));
    assert!(!device.connected());
    assert_eq!(device.control([0x80, 6, 0, 1, 0, 0, 18, 0], &[]), Err(Stall));
    device.reconnect();
    assert_eq!(command(&mut device, 0, true, &READY, &[]).2, 0);
}

/// Policy 6.3: descriptors of the plain device, and of those a blocker refuses.
#[test]
fn descriptors_and_control_requests() {
    let get = |device: &mut ModelUsbDrive, kind: u8, index: u8| {
        device.control([0x80, 6, index, kind, 0, 0, 0xFF, 0], &[])
    };
    let mut plain = device(UsbOptions::default());
    assert_eq!(get(&mut plain, 1, 0).unwrap()[..8], [18, 1, 0, 2, 0, 0, 0, 64]);
    let configuration = get(&mut plain, 2, 0).unwrap();
    assert_eq!(configuration.len(), 32);
    assert_eq!(configuration[9..18], [9, 4, 0, 0, 2, 8, 6, 0x50, 0]);
    assert_eq!(get(&mut plain, 3, 3).unwrap()[..4], [26, 3, b'M', 0]);
    assert_eq!(get(&mut plain, 3, 9), Err(Stall));
    assert_eq!(plain.control([0xA1, 0xFE, 0, 0, 0, 0, 1, 0], &[]), Ok(vec![0]));
    assert_eq!(plain.control([0xC0, 0x01, 0, 0, 0, 0, 1, 0], &[]), Err(Stall));
    assert_eq!(plain.control([0x01, 0x0B, 1, 0, 0, 0, 0, 0], &[]), Err(Stall));
    assert!(plain.control_log().last().unwrap().stalled);

    let mut uas = device(UsbOptions { uas: true, ..UsbOptions::default() });
    assert_eq!(get(&mut uas, 2, 0).unwrap().len(), 32 + 9 + 4 * 11);
    uas.control([0x01, 0x0B, 1, 0, 0, 0, 0, 0], &[]).unwrap();
    assert_eq!(uas.alternate_setting(), 1);
    assert_eq!(uas.bulk_out(2, &cbw(1, 0, true, 0, &READY)), OutResult::Stall);

    let mut hub = device(UsbOptions { hub: true, ..UsbOptions::default() });
    assert_eq!(get(&mut hub, 1, 0).unwrap()[4], 9);
    assert_eq!(hub.bulk_out(2, &cbw(1, 0, true, 0, &READY)), OutResult::Stall);

    let descriptors = vec![((2, 0), vec![9, 2, 9, 0, 0xFF])];
    let mut wrong = device(UsbOptions { descriptors, ..UsbOptions::default() });
    assert_eq!(get(&mut wrong, 2, 0), Ok(vec![9, 2, 9, 0, 0xFF]));

    let mut composite = device(UsbOptions { composite: true, ..UsbOptions::default() });
    assert_eq!(get(&mut composite, 2, 0).unwrap()[4], 2);
    let mut stalls = device(UsbOptions { max_lun_stalls: true, ..UsbOptions::default() });
    assert_eq!(stalls.control([0xA1, 0xFE, 0, 0, 0, 0, 1, 0], &[]), Err(Stall));
}

/// B10: several units answer apart from each other.
#[test]
fn units_are_separate() {
    let unit =
        |seed| ModelDrive::new(DriveConfig { base: Base::Stamp(seed), ..DriveConfig::default() });
    let mut device = ModelUsbDrive::with_units(vec![unit(1), unit(2)], UsbOptions::default());
    device.control([0, 9, 1, 0, 0, 0, 0, 0], &[]).unwrap();
    assert_eq!(device.control([0xA1, 0xFE, 0, 0, 0, 0, 1, 0], &[]), Ok(vec![1]));
    device.bulk_out(2, &cbw(7, 4096, true, 1, &READ_8));
    assert_eq!(collect(&mut device, 4096).0, device.drive(1).unwrap().peek(16, 8));
    device.bulk_in(1, 13);
    let luns = [0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0];
    let (data, ..) = command(&mut device, 64, true, &luns, &[]);
    assert_eq!((data.len(), data[3], data[17]), (24, 16, 1));
    assert_eq!(device.drive(0).unwrap().log().len(), 1);
}

proptest! {
    /// Any traffic on any endpoint: no panic, and what is no CBW never becomes a command.
    #[test]
    fn arbitrary_traffic(steps in proptest::collection::vec(
        (0u8..5, any::<[u8; 8]>(), proptest::collection::vec(any::<u8>(), 0..600), any::<bool>()), 0..60)
    ) {
        let mut device = device(UsbOptions::default());
        for (kind, setup, data, valid) in steps {
            match kind {
                0 => { let _ = device.control(setup, &data); }
                1 => { device.bulk_in(setup[0] & 3, usize::from(setup[1])); }
                2 if valid => {
                    let length = setup[1] & 15 | 1;
                    device.bulk_out(2, &cbw(1, setup[2].into(), setup[3] & 1 != 0, 0, &vec![setup[4]; length.into()]));
                }
                2 => { device.bulk_out(setup[0] & 3, &data); }
                3 => { clear_halts(&mut device); }
                _ => device.reset(),
            }
        }
        let cbws = device.bulk_out_log().iter().filter(|t| t.is_cbw()).count();
        prop_assert!(device.commands() <= u64::try_from(cbws).unwrap());
    }
}
