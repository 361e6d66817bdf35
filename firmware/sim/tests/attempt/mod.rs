//! One attempt to modify: sent to the model drive directly, which obeys it, and then to a bridge in front of such a drive, which does not.
#![allow(dead_code)] // each test binary takes what it needs
#![allow(clippy::cast_possible_truncation)] // the values are bounded where they are cast

use super::common::{Bridge, SLOT_BYTES, bridge_with, controller, model};
use super::oracle::{self, Seen};
use wb_attest::interface::{Ending, Info, Request};
use wb_attest::verify::{Expected, Signed, Statement};
use wb_bridge::{
    drive::Drive,
    usb::{Settings, UsbDrive},
};
use wb_policy::{judge::Profiles, tables::POLICY_DIGEST};
use wb_sim::{
    bridge::{Setup, SimBridge},
    controller::ModelController,
    drive::{Direction, DriveConfig, ModelDrive, Request as Command},
    host::{Host, Phase},
    usb::{ModelUsbDrive, UsbDevice as _, UsbOptions},
};

/// How the bridge answers, and whether it counts the attempt as one to modify (published policy, class MOD).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Refused, counted as modifying.
    Counted(Seen),
    /// Refused; the policy calls the code unknown, or harmless in its other forms.
    Refused(Seen),
    /// GOOD, and nothing is sent.
    Local,
}

/// A drive with hidden areas, so that commands about them have an effect.
pub fn config() -> DriveConfig {
    DriveConfig { native_blocks: 66_000, dco_blocks: 67_000, ..DriveConfig::default() }
}

pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    assert!(digits.len().is_multiple_of(2), "{text}");
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks_exact(2).map(byte).collect()
}

/// Sends the command to a model drive: it calls it modifying, and its state changes.
pub fn model_obeys(cdb: &[u8], data_out: &[u8]) {
    let mut drive = ModelDrive::new(config());
    let before = drive.state_digest();
    let direction = if data_out.is_empty() { Direction::In } else { Direction::Out };
    drive.execute(&Command { cdb, direction, data_out });
    let entry = drive.log().last().unwrap();
    assert!(entry.modifying, "{cdb:02X?} is called harmless: {}", entry.name);
    assert_ne!(drive.state_digest(), before, "{cdb:02X?} changes nothing");
}

/// A bridge with both profiles, so that as much as possible is offered.
pub fn open_bridge() -> Bridge {
    let profiles = Profiles { ident: true, smart: true };
    bridge_with(&Setup { profiles, ..Setup::default() }, config())
}

fn setup_of(request: &Request) -> [u8; 8] {
    let setup = request.setup().unwrap();
    let [v0, v1] = setup.value.to_le_bytes();
    let [l0, l1] = setup.length.to_le_bytes();
    [setup.request_type, setup.request, v0, v1, 1, 0, l0, l1]
}

pub fn info<D: Drive>(host: &mut Host<SimBridge<D>>) -> Info {
    let answer = host.device_mut().control(setup_of(&Request::Info), &[]).unwrap();
    Info::parse(&answer).unwrap()
}

/// Opens a session with a nonce of 01h bytes.
pub fn start<D: Drive>(host: &mut Host<SimBridge<D>>) {
    host.device_mut().control(setup_of(&Request::Start), &[1; 32]).unwrap();
}

/// Asks for a statement with a nonce of 02h bytes and fetches it.
pub fn statement<D: Drive>(host: &mut Host<SimBridge<D>>, ending: Ending) -> Vec<u8> {
    host.device_mut().control(setup_of(&Request::Finish(ending)), &[2; 32]).unwrap();
    host.device_mut().idle(10_000);
    let total = info(host).statement as usize;
    assert!(total > 0, "no statement");
    let mut bytes = Vec::new();
    while bytes.len() < total {
        let request = Request::Statement { offset: bytes.len() as u32, room: 192 };
        bytes.extend(host.device_mut().control(setup_of(&request), &[]).unwrap());
    }
    bytes
}

/// What the bridge's statement says, verified against its key, its nonces and the published policy.
pub fn verified<D: Drive>(host: &mut Host<SimBridge<D>>, ending: Ending) -> Statement {
    let bytes = statement(host, ending);
    let key = info(host).public_key;
    let statement = Signed::parse(&bytes).unwrap().verify(&key).unwrap().clone();
    let expected = Expected {
        start_nonce: [1; 32],
        end_nonce: [2; 32],
        firmware: Some(info(host).firmware),
        policy: Some(POLICY_DIGEST),
    };
    assert_eq!(statement.findings(&expected), []);
    statement
}

/// Sends the command through the bridge: the answer is the one expected, the drive hears nothing, and the counter tells.
pub fn bridge_refuses(host: &mut Bridge, cdb: &[u8], phase: Phase<'_>, answer: Answer) {
    let digest = model(host).state_digest();
    let (commands, sent) = (model(host).log().len(), controller(host).bulk_out().len());
    let counted = info(host).refused;
    let outcome = host.command(cdb, phase).unwrap();
    let what = || format!("{cdb:02X?} {phase:?}: {outcome:?}");
    match answer {
        Answer::Local => assert_eq!(outcome.status, 0, "{}", what()),
        Answer::Counted(seen) | Answer::Refused(seen) => {
            assert_eq!(outcome.status, 1, "{}", what());
            assert!(outcome.data.is_empty(), "{}", what());
            assert!(host.device().lights().refused, "D-05: {}", what());
            let sense = oracle::sense(host);
            oracle::assert_sense(&sense, seen, cdb.len(), &what);
        }
    }
    if let Phase::Out(data) = phase {
        assert_eq!(outcome.taken, data.len(), "{}", what());
        assert_eq!(outcome.residue as usize, data.len(), "{}", what());
    }
    let more = u32::from(matches!(answer, Answer::Counted(_)));
    assert_eq!(info(host).refused - counted, more, "D-05: {}", what());
    assert_eq!(model(host).log().len(), commands, "HWB-AM-01: {}", what());
    assert_eq!(controller(host).bulk_out().len(), sent, "HWB-AM-01: {}", what());
    assert_eq!(model(host).state_digest(), digest, "HWB-AM-01: {}", what());
}

/// Both, for a command without data: also announced with data in, which changes nothing.
pub fn no_data(text: &str, answer: Answer) {
    let cdb = hex(text);
    model_obeys(&cdb, &[]);
    let mut host = open_bridge();
    for phase in [Phase::None, Phase::In(512), Phase::In(65_536)] {
        bridge_refuses(&mut host, &cdb, phase, answer);
    }
}

/// Both, for a command with data to the drive.
pub fn data_out(text: &str, data: &[u8], answer: Answer) {
    let cdb = hex(text);
    model_obeys(&cdb, data);
    let mut host = open_bridge();
    bridge_refuses(&mut host, &cdb, Phase::Out(data), answer);
    bridge_refuses(&mut host, &cdb, Phase::None, answer);
}

/// An ATA command without data through both pass-through commands, protocol non-data; `short` is left out where the registers have no room.
pub fn ata_no_data(command: u8, features: u16, count: u16, lba: u64, extend: bool, answer: Answer) {
    let long = ata16(3, command, features, count, lba, extend);
    model_obeys(&long, &[]);
    let mut host = open_bridge();
    for phase in [Phase::None, Phase::In(512)] {
        bridge_refuses(&mut host, &long, phase, answer);
    }
    if !extend {
        let short = ata12(3, command, features, count, lba);
        model_obeys(&short, &[]);
        bridge_refuses(&mut host, &short, Phase::None, answer);
    }
}

/// ATA PASS-THROUGH(16) (SAT-3 12.2.2.3), T_LENGTH 0 for protocol 3, otherwise COUNT blocks.
pub fn ata16(
    protocol: u8,
    command: u8,
    features: u16,
    count: u16,
    lba: u64,
    extend: bool,
) -> Vec<u8> {
    let [f1, f0] = features.to_be_bytes();
    let [c1, c0] = count.to_be_bytes();
    let [l0, l1, l2, l3, l4, l5, ..] = lba.to_le_bytes();
    let first = protocol << 1 | u8::from(extend);
    let flags = [0x20, 0x0E, 0x06][usize::from(protocol != 3) + usize::from(protocol == 5)];
    vec![0x85, first, flags, f1, f0, c1, c0, l3, l0, l4, l1, l5, l2, 0x40, command, 0]
}

/// ATA PASS-THROUGH(12).
pub fn ata12(protocol: u8, command: u8, features: u16, count: u16, lba: u64) -> Vec<u8> {
    let [_, f0] = features.to_be_bytes();
    let [_, c0] = count.to_be_bytes();
    let [l0, l1, l2, ..] = lba.to_le_bytes();
    let flags = [0x20, 0x0E, 0x06][usize::from(protocol != 3) + usize::from(protocol == 5)];
    vec![0xA1, protocol << 1, flags, f0, c0, l0, l1, l2, 0x40, command, 0, 0]
}

/// A bridge in front of a drive that presents itself so; it may be refused.
pub fn with_options(options: UsbOptions, config: DriveConfig) -> Bridge {
    let drive = ModelUsbDrive::new(ModelDrive::new(config), options);
    let controller = ModelController::new(drive, SLOT_BYTES);
    let settings = Settings { profiles: Profiles::default(), is_listed: wb_policy::sat::is_listed };
    let setup = Setup::default();
    let mut host = Host::new(SimBridge::new(&setup, UsbDrive::new(controller, settings)));
    assert!(host.device_mut().attach());
    assert!(host.enumerate());
    let _ = host.command(&[0; 6], Phase::None).unwrap();
    host
}

/// The model device.
pub fn usb(host: &mut Bridge) -> &mut ModelUsbDrive {
    host.device_mut().drive_mut().host_mut().device_mut()
}
