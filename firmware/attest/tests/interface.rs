//! The byte layouts of the bridge's own interface, against the published tables.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![allow(clippy::cast_possible_truncation, clippy::float_arithmetic)]

use hex_literal::hex;
use proptest::prelude::*;
use wb_attest::interface::descriptors::{
    BOS, INTERFACE_GUID, MS_OS_20, MS_OS_20_LEN, MS_VENDOR_CODE, PLATFORM_CAPABILITY,
};
use wb_attest::interface::{
    Ending, Info, InfoError, Leaves, LeavesError, MAX_RING, Request, Setup, encode_leaves, flag,
    resolve_seq,
};
use wb_attest::log::Entry;
use wb_attest::statement::Protection;

fn info() -> Info {
    Info {
        flags: flag::KEY | flag::DRIVE | flag::SESSION | flag::PROTOTYPE_PID | flag::NOT_RUN,
        answer: 192,
        protection: Some(Protection::PlainFlash),
        boot_counter: 0x0102_0304,
        session: 3,
        statement: 0x1234,
        entries: 0x1112_1314_1516_1718,
        capacity: 0x2122_2324_2526_2728,
        block_size: 4096,
        refused: 5,
        native_max: 0x3132_3334_3536_3738,
        public_key: [0xAA; 32],
        firmware: [0xBB; 32],
        policy: [0xCC; 32],
    }
}

const INFO: [u8; 160] = hex!(
    "444c4201 00001407 00c0 01 00 01020304 00000003 00001234
     1112131415161718 2122232425262728 00001000 00000005
     3132333435363738 0000000000000000
     aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
     bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
     cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
);

/// 5.2: INFO byte for byte, both ways.
#[test]
fn info_has_the_published_layout() {
    assert_eq!(info().to_bytes(), INFO);
    assert_eq!(Info::parse(&INFO), Ok(info()));
    assert!(info().has(flag::KEY | flag::SESSION));
    assert!(!info().has(flag::KEY | flag::LOST));
}

/// 5.2: the flags stand at the published bits.
#[test]
fn flags_stand_at_their_bits() {
    let flags = [
        flag::KEY,
        flag::DRIVE,
        flag::SESSION,
        flag::STATEMENT,
        flag::LOST,
        flag::IDENT,
        flag::SMART,
        flag::REFUSED,
        flag::TAMPER,
        flag::HIDDEN,
        flag::PROTOTYPE_PID,
        flag::HASH_ENGINE,
        flag::NOT_RUN,
    ];
    for (bit, flag) in flags.into_iter().enumerate() {
        assert_eq!(flag, 1 << bit);
    }
    assert_eq!(flags.into_iter().fold(0, |all, flag| all | flag), flag::ALL);
}

/// The host takes nothing that this layout does not allow, and never panics.
#[test]
fn info_is_parsed_strictly() {
    for len in 0..400 {
        if len != 160 {
            assert_eq!(Info::parse(&vec![0x44; len]), Err(InfoError::Length));
        }
    }
    let with = |at: usize, byte: u8| {
        let mut bytes = INFO;
        bytes[at] = byte;
        Info::parse(&bytes)
    };
    for at in 0..3 {
        assert_eq!(with(at, 0), Err(InfoError::Magic));
    }
    assert_eq!(with(3, 2), Err(InfoError::Layout(2)));
    assert_eq!(with(4, 1), Err(InfoError::Reserved));
    assert_eq!(with(6, 0x20), Err(InfoError::Reserved));
    assert_eq!(with(11, 1), Err(InfoError::Reserved));
    for at in 56..64 {
        assert_eq!(with(at, 1), Err(InfoError::Reserved));
    }
    assert_eq!(with(9, 0xC1), Err(InfoError::Answer(193)));
    assert_eq!(with(9, 0x40), Err(InfoError::Answer(64)));
    assert_eq!(with(10, 0), Err(InfoError::Protection));
    assert_eq!(with(10, 3), Err(InfoError::Protection));
    assert_eq!(with(7, 0x06), Err(InfoError::Protection));
    let keyless = Info { flags: 0, protection: None, public_key: [0; 32], ..info() };
    assert_eq!(Info::parse(&keyless.to_bytes()), Ok(keyless));
    let half = Info { flags: 0, protection: None, ..info() };
    assert_eq!(Info::parse(&half.to_bytes()), Err(InfoError::Protection));
}

fn entry(seq: u64) -> Entry {
    Entry { seq, chunk: seq + 100, len: 1 << 20, digest: [seq as u8; 32] }
}

/// 5.2: LEAVES byte for byte; as many entries as fit; the largest answer of 128 bytes holds two.
#[test]
fn leaves_have_the_published_layout() {
    let mut out = [0xEE; 128];
    let len = encode_leaves(0x0102, 7, (0x0102..).map(entry).take(9), &mut out).unwrap();
    assert_eq!(len, 16 + 2 * 52);
    assert_eq!(&out[..16], &hex!("0000000000000102 00000007 00000002"));
    assert_eq!(&out[16..68], &entry(0x0102).to_bytes());
    assert_eq!(&out[68..120], &entry(0x0103).to_bytes());
    assert_eq!(&out[120..], &[0xEE; 8]);
    let leaves = Leaves::parse(&out[..len]).unwrap();
    assert_eq!((leaves.first, leaves.lost, leaves.len()), (0x0102, 7, 2));
    assert_eq!(leaves.entries().collect::<Vec<_>>(), [entry(0x0102), entry(0x0103)]);
    assert_eq!((Leaves::fitting(128), Leaves::fitting(256), Leaves::fitting(15)), (2, 4, 0));

    assert_eq!(encode_leaves(5, 0, [], &mut out), Some(16));
    assert!(Leaves::parse(&out[..16]).unwrap().is_empty());
    assert_eq!(encode_leaves(5, 0, [], &mut out[..15]), None);
}

/// The host takes no answer whose length and count differ or whose entries have a gap.
#[test]
fn leaves_are_parsed_strictly() {
    let mut out = [0; 256];
    let len = encode_leaves(3, 0, (3..7).map(entry), &mut out).unwrap();
    for cut in 0..len {
        assert_eq!(Leaves::parse(&out[..cut]), Err(LeavesError::Length));
    }
    assert_eq!(Leaves::parse(&out[..len + 1]), Err(LeavesError::Length));
    let mut gap = out;
    gap[16 + 52 + 7] = 9;
    assert_eq!(Leaves::parse(&gap[..len]), Err(LeavesError::Sequence));
    let mut first = out;
    first[7] = 2;
    assert_eq!(Leaves::parse(&first[..len]), Err(LeavesError::Sequence));
    let mut huge = out;
    huge[12..16].copy_from_slice(&[0xFF; 4]);
    assert_eq!(Leaves::parse(&huge[..len]), Err(LeavesError::Length));
    let last = encode_leaves(u64::MAX, 0, [entry_at_end(), entry_at_end()], &mut out).unwrap();
    assert_eq!(Leaves::parse(&out[..last]), Err(LeavesError::Sequence));
}

fn entry_at_end() -> Entry {
    Entry { seq: u64::MAX, chunk: 0, len: 1, digest: [0; 32] }
}

proptest! {
    /// 5.2: the low 16 bits name one entry of a ring of fewer than 65,536.
    #[test]
    fn sixteen_bits_name_an_entry(oldest in any::<u64>(), held in 0..=MAX_RING, ask in 0..=MAX_RING) {
        let next = oldest.saturating_add(held);
        let wanted = oldest.saturating_add(ask);
        let expected = (wanted <= next).then_some(wanted);
        if wanted == oldest || oldest.checked_add(ask).is_some() {
            prop_assert_eq!(resolve_seq(wanted as u16, oldest, next), expected);
        }
    }

    /// Nothing a bridge could answer makes the host panic.
    #[test]
    fn any_answer_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = (Leaves::parse(&bytes), Info::parse(&bytes));
    }
}

/// 5.2: of all requests exactly the published ones are taken, with the published value and length.
#[test]
fn exactly_the_published_requests_are_taken() {
    let mut taken = Vec::new();
    for request_type in 0..=255 {
        for request in 0..=255 {
            for value in [0, 1, 2, 0xFFFF] {
                for index in [0, 1, 2, 0x0101] {
                    for length in [0, 31, 32, 33, 67, 68, 159, 160, 161, 0xFFFF] {
                        let setup = Setup { request_type, request, value, index, length };
                        if let Some(parsed) = Request::parse(&setup) {
                            assert_eq!(index, 1);
                            assert_eq!(parsed.setup(), Some(setup), "both ways");
                            taken.push((request_type, request, value, length));
                        }
                    }
                }
            }
        }
    }
    let mut published = vec![
        (0xC1, 1, 0, 160),
        (0x41, 2, 0, 32),
        (0x41, 4, 0, 32),
        (0x41, 4, 1, 32),
        (0x41, 6, 0, 32),
    ];
    for value in [0, 1, 2, 0xFFFF] {
        for length in [31, 32, 33, 67, 68, 159, 160, 161, 0xFFFF] {
            published.push((0xC1, 5, value, length));
            if length >= 68 {
                published.push((0xC1, 3, value, length));
            }
        }
    }
    taken.sort_unstable();
    published.sort_unstable();
    assert_eq!(taken, published);
}

/// 5.2: the requests as they go over the bus.
#[test]
fn requests_are_built_as_published() {
    let setup = |request: Request| request.setup().unwrap();
    assert_eq!(
        setup(Request::Info),
        Setup { request_type: 0xC1, request: 1, value: 0, index: 1, length: 160 }
    );
    assert_eq!(setup(Request::Finish(Ending::Checkpoint)).value, 1);
    assert_eq!(setup(Request::Finish(Ending::Final)).value, 0);
    assert_eq!(setup(Request::Statement { offset: 640, room: 128 }).value, 10);
    assert_eq!(Request::Statement { offset: 65, room: 128 }.setup(), None);
    assert_eq!(Request::Statement { offset: 65_536 * 64, room: 128 }.setup(), None);
    assert_eq!(setup(Request::Provision).request, 6);
}

fn le16(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at]) | usize::from(bytes[at + 1]) << 8
}

/// 5.1: every length in the MS OS 2.0 set is that of its part; 178 bytes in all.
#[test]
fn ms_os_set_is_consistent() {
    let set = &MS_OS_20;
    assert_eq!(set.len(), 178);
    assert_eq!((le16(set, 0), le16(set, 2), le16(set, 8)), (10, 0, 178));
    assert_eq!(&set[4..8], &[0, 0, 3, 6]);
    let configuration = &set[10..];
    assert_eq!((le16(configuration, 0), le16(configuration, 2)), (8, 1));
    assert_eq!((configuration[4], le16(configuration, 6)), (0, configuration.len()));
    let function = &configuration[8..];
    assert_eq!((le16(function, 0), le16(function, 2)), (8, 2));
    assert_eq!((function[4], le16(function, 6)), (1, function.len()));
    let id = &function[8..];
    assert_eq!((le16(id, 0), le16(id, 2)), (20, 3));
    assert_eq!(&id[4..20], b"WINUSB\0\0\0\0\0\0\0\0\0\0");
    let property = &id[20..];
    assert_eq!((le16(property, 0), le16(property, 2)), (property.len(), 4));
    assert_eq!((property.len(), le16(property, 4)), (132, 7));
    let name_len = le16(property, 6);
    let wide = |bytes: &[u8]| -> String {
        bytes.chunks(2).map(|pair| char::from_u32(le16(pair, 0) as u32).unwrap()).collect()
    };
    assert_eq!(wide(&property[8..8 + name_len]), "DeviceInterfaceGUIDs\0");
    let value = &property[8 + name_len..];
    assert_eq!(le16(value, 0), value.len() - 2);
    assert_eq!(wide(&value[2..]), format!("{INTERFACE_GUID}\0\0"));
    assert_eq!(INTERFACE_GUID.len(), 38);
}

/// 5.1: BOS with the MS OS 2.0 platform capability, byte for byte.
#[test]
fn bos_is_as_published() {
    assert_eq!(
        BOS,
        hex!(
            "05 0f 2100 01
             1c 10 05 00 df60ddd8 8945 c74c 9cd2 659d9e648a9f 00000306 b200 20 00"
        )
    );
    assert_eq!(le16(&BOS, 2), BOS.len());
    assert_eq!(usize::from(BOS[5]), BOS.len() - 5);
    assert_eq!(&BOS[8..], &PLATFORM_CAPABILITY);
    assert_eq!(le16(&BOS, 29), MS_OS_20_LEN);
    assert_eq!(BOS[31], MS_VENDOR_CODE);
}
