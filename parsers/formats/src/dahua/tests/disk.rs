//! A writer of small DHFS 4.1 disks (sections 1.1 to 1.7), for the tests beside it.

use std::sync::Arc;

use daleel_core::{Findings, FormatError, Input, Recorder, Source, Volume};

use crate::dahua::{
    DISK,
    chain::Chain,
    partition::{Partition, Place},
};

/// Sectors per cluster: the smallest allowed.
pub const CLUSTER_SECTORS: u32 = 128;
/// Bytes per cluster.
pub const CLUSTER_BYTES: usize = 128 * 512;
/// First sector of the descriptor table.
pub const TABLE_SECTOR: usize = 187;
/// First sector of the log area.
pub const LOG_SECTOR: usize = 100;

/// Opens the one partition of a disk.
pub fn open_partition(source: impl Source + 'static) -> (Result<Partition, FormatError>, Findings) {
    let place = Place { index: 0, start: 0, sectors: source.len() / 512, boot_sector: 34 };
    let mut findings = Findings::default();
    let volume = Volume::whole(Arc::new(source));
    (Partition::open(&volume, place, None, &mut findings), findings)
}

/// A disk of one partition.
#[derive(Clone)]
pub struct Disk {
    pub reserved: u32,
    pub descriptors: Vec<[u8; 32]>,
    /// Bytes of clusters.
    pub clusters: Vec<(u32, Vec<u8>)>,
    /// Bytes of the log area.
    pub log: Vec<u8>,
    /// Clusters as the boot sector counts them.
    pub count: u32,
}

/// A descriptor to be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry {
    pub kind: u8,
    pub channel: u8,
    pub count: u16,
    pub begin: u32,
    pub end: u32,
    pub next: u32,
    pub last_sectors: u32,
    pub previous: u32,
    pub head: u32,
}

impl Entry {
    pub fn bytes(self) -> [u8; 32] {
        let mut out = vec![self.kind, self.channel];
        out.extend(self.count.to_le_bytes());
        for word in
            [self.begin, self.end, self.next, self.last_sectors, self.previous, self.head, 0]
        {
            out.extend(word.to_le_bytes());
        }
        out.try_into().unwrap()
    }
}

impl Disk {
    /// `count` clusters, of which the first `reserved` are reserved and the others free.
    pub fn new(count: u32, reserved: u32) -> Self {
        let kind = |cluster| if cluster < reserved { 0xFE } else { 0 };
        let descriptors =
            (0..count).map(|cluster| Entry { kind: kind(cluster), ..Entry::default() }.bytes());
        Self {
            reserved,
            descriptors: descriptors.collect(),
            clusters: Vec::new(),
            log: Vec::new(),
            count,
        }
    }

    pub fn set(&mut self, cluster: u32, entry: Entry) {
        self.descriptors[cluster as usize] = entry.bytes();
    }

    /// Writes one 32-bit word of a descriptor.
    pub fn poke(&mut self, cluster: u32, offset: usize, word: u32) {
        self.descriptors[cluster as usize][offset..offset + 4].copy_from_slice(&word.to_le_bytes());
    }

    pub fn zero(&mut self, cluster: u32) {
        self.descriptors[cluster as usize] = [0; 32];
    }

    /// Writes a recording in the given clusters: a minute a cluster from `begin` on.
    pub fn record(&mut self, channel: u8, begin: u32, clusters: &[u32], last_sectors: u32) {
        let minute = |place: usize| begin + ((place as u32) << 6);
        for (place, cluster) in clusters.iter().enumerate() {
            let is_head = place == 0;
            self.set(
                *cluster,
                Entry {
                    kind: if is_head { 1 } else { 2 },
                    channel: 0x20 | channel,
                    count: if is_head { clusters.len() as u16 - 1 } else { place as u16 },
                    begin: minute(place),
                    end: if is_head { minute(clusters.len()) } else { minute(place + 1) },
                    next: clusters.get(place + 1).copied().unwrap_or(0),
                    last_sectors: if is_head { last_sectors } else { 0 },
                    previous: if is_head { 0 } else { clusters[place - 1] },
                    head: clusters[0],
                },
            );
        }
    }

    /// First sector of cluster 0.
    pub fn data_sector(&self) -> usize {
        TABLE_SECTOR + (self.descriptors.len() * 32).div_ceil(512) + 5
    }

    fn boot(&self) -> Vec<u8> {
        let mut boot = vec![0u8; 512];
        let mut put = |at: usize, word: u32| boot[at..at + 4].copy_from_slice(&word.to_le_bytes());
        put(0x2C, 512);
        put(0x30, CLUSTER_SECTORS);
        put(0x38, self.reserved);
        put(0x40, 34);
        put(0x44, TABLE_SECTOR as u32);
        put(0x48, self.data_sector() as u32);
        put(0x4C, self.count);
        put(0xF0, 66);
        put(0xF8, LOG_SECTOR as u32);
        put(0xFC, 80);
        put(0x148, 0x55AA_55AA);
        boot
    }

    /// The bytes of the disk.
    pub fn bytes(&self) -> Vec<u8> {
        let sectors = self.data_sector() + self.descriptors.len() * CLUSTER_SECTORS as usize;
        let mut disk = vec![0u8; sectors * 512];
        let mut put = |sector: usize, bytes: &[u8]| {
            disk[sector * 512..sector * 512 + bytes.len()].copy_from_slice(bytes);
        };
        put(0, b"DHFS4.1");
        let mut table = vec![0u8; 0x80];
        table[0x48..0x4C].copy_from_slice(&34u32.to_le_bytes());
        table[0x6C..0x70].copy_from_slice(&(sectors as u32).to_le_bytes());
        table[0x74..0x78].copy_from_slice(&[0xAA, 0x55, 0xAA, 0x55]);
        put(30, &table);
        put(62, &table);
        put(34, &self.boot());
        put(66, &self.boot());
        put(LOG_SECTOR, &self.log);
        put(TABLE_SECTOR, &self.descriptors.concat());
        for (cluster, bytes) in &self.clusters {
            put(self.data_sector() + (*cluster * CLUSTER_SECTORS) as usize, bytes);
        }
        disk
    }

    /// Its partition, opened.
    pub fn partition(&self) -> Partition {
        open_partition(self.bytes()).0.unwrap()
    }

    /// The chain of the head in a cluster.
    pub fn chain(&self, head: u32) -> Chain {
        let partition = self.partition();
        Chain::follow(&partition, head, partition.descriptor(head).unwrap())
    }

    /// The disk, identified and opened like any other.
    pub fn open(&self) -> Box<dyn Recorder> {
        let input = Input::Volume(Volume::whole(Arc::new(self.bytes())));
        let verdict = (DISK.probe)(&input).remove(0);
        (DISK.open)(input, &verdict).unwrap()
    }
}
