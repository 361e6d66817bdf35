//! Cluster chains over small descriptor tables: sound, damaged, hostile.

use proptest::prelude::*;

use super::{
    disk::{CLUSTER_BYTES, CLUSTER_SECTORS, Disk, Entry, open_partition},
    units::date,
};
use crate::dahua::{chain::Chain, layout::DescriptorType};

/// Two recordings with their clusters interleaved, as a recorder writes them.
fn disk() -> Disk {
    let mut disk = Disk::new(64, 8);
    disk.record(0, date(3, 10, 0, 0), &[10, 12, 14, 16, 18], 77);
    disk.record(1, date(3, 10, 0, 0), &[11, 13, 15, 17], 128);
    disk
}

const FIRST: [u32; 5] = [10, 12, 14, 16, 18];
const SECOND: [u32; 4] = [11, 13, 15, 17];

/// I-2: a sound chain is followed to its end, and its last cluster is used as far as the head says.
#[test]
fn sound_chains() {
    let chain = disk().chain(10);
    assert_eq!((chain.clusters.as_slice(), chain.last_sectors), (&FIRST[..], Some(77)));
    assert!(!chain.conflict && chain.reasons.is_empty());
    assert_eq!(chain.bytes(CLUSTER_BYTES as u64), 4 * CLUSTER_BYTES as u64 + 77 * 512);
    assert_eq!(disk().chain(11).clusters, SECOND);
}

/// A recording of one cluster, and one whose chain ends with FFFFFFFF.
#[test]
fn both_ways_to_end_a_chain() {
    let mut disk = disk();
    disk.record(2, date(3, 9, 0, 0), &[40], 5);
    disk.poke(40, 0x0C, u32::MAX);
    disk.poke(18, 0x0C, u32::MAX);
    let single = disk.chain(40);
    assert_eq!((single.clusters.as_slice(), single.last_sectors), (&[40][..], Some(5)));
    assert!(!single.conflict && !disk.chain(10).conflict);
}

/// Section 7: a chain that points back into itself ends there.
#[test]
fn loops_end() {
    for (from, to) in [(18, 10), (18, 12), (18, 18), (10, 10)] {
        let mut disk = disk();
        disk.poke(from, 0x0C, to);
        let chain = disk.chain(10);
        assert_eq!(chain.clusters, FIRST, "{from} points to {to}");
        assert!(chain.conflict);
    }
}

/// a pointer into another recording is not followed; the clusters that name this head are.
#[test]
fn cross_links_are_not_followed() {
    for to in [15, 11] {
        let mut disk = disk();
        disk.poke(12, 0x0C, to);
        let chain = disk.chain(10);
        assert_eq!(chain.clusters, FIRST);
        assert!(chain.conflict);
        assert_eq!(disk.chain(11).clusters, SECOND);
    }
}

/// Section 7: pointers past the table, into reserved or free clusters.
#[test]
fn wild_pointers_are_not_followed() {
    for to in [64, 1_000_000, u32::MAX - 1, 3, 50] {
        let mut disk = disk();
        disk.poke(14, 0x0C, to);
        let chain = disk.chain(10);
        assert_eq!(chain.clusters, FIRST, "points to {to}");
        assert_eq!(chain.last_sectors, Some(77));
        assert!(chain.conflict);
    }
}

/// The end marker in the middle: the head counts further clusters, and they name it.
#[test]
fn a_chain_cut_short_goes_on() {
    let mut disk = disk();
    disk.poke(12, 0x0C, 0);
    assert_eq!(disk.chain(10).clusters, FIRST);
}

/// a zeroed descriptor in the middle is bridged by the one behind it, at the end by the head's count.
#[test]
fn zeroed_descriptors() {
    for damaged in [12, 14, 16, 18] {
        let mut disk = disk();
        disk.zero(damaged);
        let chain = disk.chain(10);
        assert_eq!(chain.clusters, FIRST, "descriptor {damaged}");
        assert_eq!(chain.last_sectors, Some(77));
        assert!(chain.conflict);
    }
}

/// Two zeroed in a row: what is between is not to be found, what follows is, and it is said.
#[test]
fn two_zeroed_in_a_row_leave_a_hole() {
    let mut disk = disk();
    disk.zero(12);
    disk.zero(14);
    let chain = disk.chain(10);
    assert!(chain.conflict);
    assert_eq!(chain.clusters.first(), Some(&10));
    assert_eq!(chain.clusters.last(), Some(&18));
    assert!(chain.clusters.contains(&16));
    assert!(chain.reasons.iter().any(|reason| reason.text.contains("not to be found")));
}

/// Section 7: the head's count does not cut or stretch a chain; the difference is reported.
#[test]
fn wrong_counts() {
    for count in [0, 1, 3, 5, 900, u16::MAX] {
        let mut disk = disk();
        disk.descriptors[10][2..4].copy_from_slice(&count.to_le_bytes());
        let chain = disk.chain(10);
        assert_eq!(chain.clusters, FIRST, "count {count}");
        assert!(chain.conflict);
    }
}

/// A continuation whose place, back link or channel is wrong is of the recording all the same when the rest fits.
#[test]
fn one_wrong_field_does_not_break_the_chain() {
    let damage: [fn(&mut Disk); 5] = [
        |disk| disk.descriptors[14][2..4].copy_from_slice(&7u16.to_le_bytes()),
        |disk| disk.poke(14, 0x14, 40),
        |disk| disk.descriptors[14][1] = 0x25,
        |disk| disk.poke(14, 0x18, 11),
        |disk| disk.poke(10, 0x18, 11),
    ];
    for damage in damage {
        let mut disk = disk();
        damage(&mut disk);
        let chain = disk.chain(10);
        assert_eq!(chain.clusters, FIRST, "{:?}", chain.reasons);
        assert!(chain.conflict);
        assert_eq!(disk.chain(11).clusters, SECOND);
    }
}

/// R-2, section 5: continuations that an older recording left under the same head number are not this recording's, even where its
/// own chain is damaged.
#[test]
fn dirty_continuations_are_not_adopted() {
    let mut disk = Disk::new(64, 8);
    disk.record(0, date(2, 10, 0, 0), &[10, 30, 31, 32, 33, 34], 50);
    disk.record(0, date(3, 10, 0, 0), &[10, 40, 41], 60);
    let chain = disk.chain(10);
    assert_eq!((chain.clusters.as_slice(), chain.last_sectors), (&[10, 40, 41][..], Some(60)));
    assert!(!chain.conflict);

    for damage in [
        (|disk| disk.poke(10, 0x0C, 9999)) as fn(&mut Disk),
        |disk| disk.poke(40, 0x0C, 0),
        |disk| disk.zero(40),
        |disk| disk.zero(41),
    ] {
        let mut damaged = disk.clone();
        damage(&mut damaged);
        let chain = damaged.chain(10);
        assert_eq!(chain.clusters, [10, 40, 41], "{:?}", chain.reasons);
    }
}

/// the same for a recording that was open when the power went: it has no end date, so links decide.
#[test]
fn dirty_continuations_of_an_open_recording() {
    let mut disk = Disk::new(64, 8);
    disk.record(0, date(2, 10, 0, 0), &[10, 30, 31, 32], 50);
    disk.record(0, date(3, 10, 0, 0), &[10, 40, 41], 0);
    for end in [0, date(3, 10, 0, 0), date(1, 0, 0, 0)] {
        disk.poke(10, 0x08, end);
        // The count of an open recording lags behind.
        for count in [0u16, 1, 2] {
            disk.descriptors[10][2..4].copy_from_slice(&count.to_le_bytes());
            let chain = disk.chain(10);
            assert_eq!(chain.clusters, [10, 40, 41], "end {end:08x}, count {count}");
            assert_eq!(chain.last_sectors, None);
        }
    }
}

/// Section 7: 1 to the cluster's sectors; anything else is a full cluster, and said.
#[test]
fn last_sectors_are_bounded() {
    for (stored, used) in [
        (1, Some(1)),
        (CLUSTER_SECTORS, Some(CLUSTER_SECTORS)),
        (0, None),
        (129, None),
        (u32::MAX, None),
    ] {
        let mut disk = disk();
        disk.poke(10, 0x10, stored);
        let chain = disk.chain(10);
        assert_eq!(chain.last_sectors, used);
        assert_eq!(chain.reasons.len(), usize::from(used.is_none()));
        let last = used.map_or(CLUSTER_BYTES, |sectors| sectors as usize * 512);
        assert_eq!(chain.bytes(CLUSTER_BYTES as u64), (4 * CLUSTER_BYTES + last) as u64);
    }
}

/// Section 12: some writers repeat the number in the last continuation; it serves when the head's is unusable.
#[test]
fn last_sectors_of_the_last_continuation() {
    let mut disk = disk();
    disk.poke(10, 0x10, 0);
    disk.poke(18, 0x10, 33);
    assert_eq!(disk.chain(10).last_sectors, Some(33));
}

/// Where the chain breaks off for good, the head's number does not speak of the cluster it breaks off at.
#[test]
fn last_sectors_of_a_broken_chain_are_not_believed() {
    let mut disk = disk();
    for cluster in [14, 16, 18] {
        disk.zero(cluster);
    }
    disk.poke(12, 0x0C, 0);
    let chain = disk.chain(10);
    assert_eq!((chain.clusters.as_slice(), chain.last_sectors), (&[10, 12][..], None));
}

/// The boot sector counts more clusters than the table has room for in front of the data: refused, not read.
#[test]
fn a_table_that_reaches_into_the_data_is_refused() {
    let mut disk = disk();
    disk.count = 4096;
    assert!(open_partition(disk.bytes()).0.is_err());
}

fn entry() -> impl Strategy<Value = Entry> {
    let cluster = || prop_oneof![8 => 0u32..40, 1 => any::<u32>(), 1 => Just(u32::MAX)];
    let kind = prop_oneof![3 => Just(1u8), 8 => Just(2u8), 1 => Just(0u8), 1 => any::<u8>()];
    let day = prop_oneof![4 => 1u32..5, 1 => 0u32..32];
    (
        kind,
        0u8..3,
        prop_oneof![9 => 0u16..12, 1 => any::<u16>()],
        day,
        0u32..60,
        cluster(),
        any::<u32>(),
        cluster(),
        cluster(),
    )
        .prop_map(|(kind, channel, count, day, minute, next, last_sectors, previous, head)| {
            Entry {
                kind,
                channel,
                count,
                begin: date(day, 1, minute, 0),
                end: date(day, 2, minute, 0),
                next,
                last_sectors: last_sectors % 200,
                previous,
                head,
            }
        })
}

/// Section 7: chains of any table are finite, hold no cluster twice, and stay inside the table.
fn assert_sane(disk: &Disk) {
    let partition = disk.partition();
    for (head, descriptor) in partition.heads() {
        let chain = Chain::follow(&partition, head, descriptor);
        assert_eq!(chain.clusters[0], head);
        let mut sorted = chain.clusters.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), chain.clusters.len(), "a cluster is in the chain twice");
        assert!(sorted.iter().all(|cluster| *cluster < disk.count));
        assert!(chain.last_sectors.is_none_or(|sectors| (1..=CLUSTER_SECTORS).contains(&sectors)));
        for cluster in &chain.clusters[1..] {
            let kind = partition.descriptor(*cluster).unwrap().descriptor_type();
            assert!(
                !matches!(kind, DescriptorType::Head | DescriptorType::Reserved),
                "cluster {cluster} is {kind:?}"
            );
        }
        let counts = usize::from(descriptor.count.get()) == chain.clusters.len() - 1;
        assert!(counts || chain.conflict, "a difference is a conflict");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// tables of entries that look like descriptors.
    #[test]
    fn tables_of_likely_entries(entries in prop::collection::vec(entry(), 40)) {
        let mut disk = Disk::new(40, 0);
        for (cluster, entry) in (0..).zip(entries) {
            disk.set(cluster, entry);
        }
        assert_sane(&disk);
    }

    /// tables of any bytes.
    #[test]
    fn tables_of_any_bytes(bytes in prop::collection::vec(any::<[u8; 32]>(), 32), kinds in prop::collection::vec(0u8..4, 32)) {
        let mut disk = Disk::new(32, 0);
        for ((slot, bytes), kind) in disk.descriptors.iter_mut().zip(bytes).zip(kinds) {
            *slot = bytes;
            slot[0] = kind;
        }
        assert_sane(&disk);
    }

    /// sound recordings with one descriptor destroyed: no recording takes another one's cluster, and the others are whole.
    #[test]
    fn one_destroyed_descriptor(damaged in 8u32..64, bytes in any::<[u8; 32]>(), zero in any::<bool>()) {
        let mut disk = Disk::new(64, 8);
        let recordings: [&[u32]; 4] = [
            &[10, 12, 14, 16, 18, 40, 41],
            &[11, 13, 15, 17],
            &[20],
            &[30, 29, 28, 27, 26],
        ];
        for (channel, clusters) in (0u8..).zip(recordings) {
            disk.record(channel, date(3, 10, 0, 0), clusters, 64);
        }
        disk.descriptors[damaged as usize] = if zero { [0; 32] } else { bytes };
        let partition = disk.partition();
        for clusters in recordings {
            let head = clusters[0];
            if head == damaged {
                continue;
            }
            let chain = Chain::follow(&partition, head, partition.descriptor(head).unwrap());
            if clusters.contains(&damaged) {
                prop_assert!(chain.clusters.iter().all(|c| clusters.contains(c)), "{:?}", chain);
                let lost = clusters.len() - chain.clusters.len();
                prop_assert!(lost <= 1, "{:?}", chain);
            } else {
                prop_assert_eq!(&chain.clusters, clusters);
                prop_assert!(!chain.conflict);
            }
        }
    }
}
