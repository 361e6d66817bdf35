//! What can happen to a bridge, as random events, for `property.rs`.

use proptest::prelude::*;
use wb_sim::host::{Phase, wrapper};

/// Something a host does.
#[derive(Clone, Debug)]
pub enum HostEvent {
    /// A whole command.
    Command(Vec<u8>, Announced),
    /// A READ of some blocks, whose data are compared.
    Read(u64, u16),
    /// A packet that may be anything.
    Packet(Vec<u8>),
    /// A wrapper with its data phase left in the middle after so many packets.
    Abandoned(Vec<u8>, Announced, u8),
    /// Bus reset with enumeration, bus reset alone, reset recovery, Bulk-Only Reset alone.
    Enumerate,
    Reset,
    Recover,
    BulkReset,
    /// Clears the halt of an endpoint.
    ClearHalt(u8),
    /// A control request.
    Control([u8; 8], u8),
    /// Opens a session.
    Start,
    /// Asks for a statement.
    Finish(bool),
    /// Waits, in milliseconds.
    Wait(u16),
}

/// A data phase as a wrapper announces it.
#[derive(Clone, Copy, Debug)]
pub enum Announced {
    None,
    In(u32),
    Out(u32),
}

impl Announced {
    pub fn phase(self) -> Phase<'static> {
        match self {
            Self::None => Phase::None,
            Self::In(length) => Phase::In(length),
            Self::Out(length) => Phase::Zeros(length),
        }
    }

    pub fn wrapper(self, tag: u32, cdb: &[u8]) -> Vec<u8> {
        match self {
            Self::None => wrapper(tag, 0, 0, cdb),
            Self::In(length) => wrapper(tag, length, 0x80, cdb),
            Self::Out(length) => wrapper(tag, length, 0, cdb),
        }
    }
}

fn announced() -> impl Strategy<Value = Announced> {
    let length = prop_oneof![Just(1_u32), Just(13), Just(31), Just(512), Just(513), 0..70_000_u32];
    prop_oneof![
        Just(Announced::None),
        length.clone().prop_map(Announced::In),
        length.prop_map(Announced::Out),
    ]
}

/// Operation codes that write, by name, and pass-throughs with commands that do.
fn modifying() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop::sample::select(vec![
        0x04_u8, 0x0A, 0x15, 0x19, 0x2A, 0x2E, 0x38, 0x3B, 0x3F, 0x41, 0x42, 0x48, 0x4C, 0x55,
        0x83, 0x89, 0x8A, 0x8E, 0x93, 0x94, 0x95, 0x9A, 0x9C, 0x9E, 0x9F, 0xA4, 0xAA, 0xAC, 0xB5,
        0xC0, 0xDF, 0xE3, 0xE5, 0xF8,
    ]);
    let scsi = (opcode, prop::collection::vec(small(), 15)).prop_map(|(opcode, mut rest)| {
        rest.insert(0, opcode);
        rest.truncate([6, 10, 10, 16, 16, 12, 16, 16][usize::from(opcode >> 5)]);
        rest
    });
    let command = prop::sample::select(vec![
        0x06_u8, 0x30, 0x35, 0x37, 0x3F, 0x44, 0x45, 0x57, 0x61, 0x63, 0x78, 0x92, 0x9F, 0xB0,
        0xB1, 0xB4, 0xCA, 0xEF, 0xF1, 0xF3, 0xF4, 0xF5, 0xF9,
    ]);
    let ata = (command, 0..16_u8, prop::collection::vec(small(), 11)).prop_map(
        |(command, protocol, fields)| {
            let mut cdb = vec![0x85, protocol << 1 | fields[0] & 1, 0x20];
            cdb.extend(fields);
            cdb.truncate(14);
            cdb.extend([command, 0]);
            cdb
        },
    );
    prop_oneof![3 => scsi, 2 => ata]
}

fn small() -> impl Strategy<Value = u8> {
    prop_oneof![3 => Just(0_u8), 2 => any::<u8>(), 1 => 0..32_u8]
}

/// A command block: known to modify, known to read, or anything.
fn command() -> impl Strategy<Value = Vec<u8>> {
    let reading = prop::sample::select(vec![
        vec![0x00, 0, 0, 0, 0, 0],
        vec![0x03, 0, 0, 0, 18, 0],
        vec![0x12, 0, 0, 0, 96, 0],
        vec![0x12, 1, 0x83, 0, 255, 0],
        vec![0x1A, 0, 0x3F, 0, 192, 0],
        vec![0x1B, 0, 0, 0, 1, 0],
        vec![0x1B, 0, 0, 0, 2, 0],
        vec![0x1B, 0, 0, 0, 3, 0],
        vec![0x1E, 0, 0, 0, 1, 0],
        vec![0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![0x4D, 0, 0x40, 0, 0, 0, 0, 0, 64, 0],
        vec![0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0],
        vec![0x85, 6, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xE5, 0],
        vec![0x85, 8, 0x0E, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xEC, 0],
        vec![0x85, 9, 0x0E, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x2F, 0],
    ]);
    prop_oneof![3 => modifying(), 2 => reading, 1 => prop::collection::vec(any::<u8>(), 1..=16)]
}

/// What a host does.
pub fn host_event() -> impl Strategy<Value = HostEvent> {
    let read = (any::<u64>(), 1..200_u16).prop_map(|(lba, blocks)| HostEvent::Read(lba, blocks));
    let packet = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        Just(vec![0; 512]),
        (command(), announced(), 0..31_usize, any::<u8>()).prop_map(|(cdb, data, at, bits)| {
            let mut bytes = data.wrapper(5, &cdb);
            bytes[at] ^= bits;
            bytes
        }),
    ];
    let setup = (
        any::<[u8; 8]>(),
        prop::sample::select(vec![0x21_u8, 0x41, 0xA1, 0xC1, 0xC0, 0x00, 0x80, 0x82, 0xFF]),
    )
        .prop_map(|(mut setup, kind)| {
            if kind != 0xFF {
                setup[0] = kind;
                (setup[1], setup[3], setup[5], setup[7]) = (setup[1] & 0x0F, 0, 0, 0);
                setup[4] &= 1;
            }
            // SET ADDRESS and SET CONFIGURATION 0 would take the bridge off the host by its own wish.
            if setup[0] & 0x60 == 0 && matches!(setup[1], 5 | 9) {
                setup[1] = 0;
            }
            setup
        });
    prop_oneof![
        8 => (command(), announced()).prop_map(|(cdb, data)| HostEvent::Command(cdb, data)),
        8 => read,
        2 => packet.prop_map(HostEvent::Packet),
        3 => (command(), announced(), 0..6_u8).prop_map(|(cdb, data, taken)| HostEvent::Abandoned(cdb, data, taken)),
        1 => Just(HostEvent::Enumerate),
        1 => Just(HostEvent::Reset),
        2 => Just(HostEvent::Recover),
        1 => Just(HostEvent::BulkReset),
        1 => prop::sample::select(vec![0x01_u8, 0x81, 0x82, 0x02]).prop_map(HostEvent::ClearHalt),
        2 => (setup, any::<u8>()).prop_map(|(setup, fill)| HostEvent::Control(setup, fill)),
        2 => Just(HostEvent::Start),
        2 => any::<bool>().prop_map(HostEvent::Finish),
        2 => (0..400_u16).prop_map(HostEvent::Wait),
    ]
}
