//! Partition boot sector and the areas inside the reserved clusters.
//!
//! Facts: `docs/formats/dahua.md`, section 1.3. Relations between the values are those of Disk A, which
//! the test reproduces; fields whose meaning nobody knows keep Disk A's value where it is constant
//! and stay zero where it looks like a left-over pointer.

use super::geometry::BOOT_SECTOR;
use super::{MARKER, SECTOR, put_u32};
use crate::civil::Moment;

/// Copy of the boot sector, relative to the partition start.
pub const BOOT_COPY: u32 = 66;
/// First sector of the descriptor table, relative to the partition start.
pub const DESCRIPTOR_SECTOR: u32 = 187;

/// Layout of a partition; all values in sectors or clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Sectors in a cluster.
    pub sectors_per_cluster: u32,
    /// Clusters at the start that never hold video.
    pub reserved: u32,
    /// First sector of cluster 0, relative to the partition start.
    pub data_start: u32,
    /// Number of clusters.
    pub clusters: u32,
    /// Scale of the reserved areas: 4096 sectors on Disk A.
    pub unit: u32,
    /// First sector of the large reserved area, in units from the data start: 64 on Disk A.
    pub large_units: u32,
}

impl Layout {
    /// Lays out a partition of `length` sectors.
    pub fn new(length: u32, sectors_per_cluster: u32, reserved: u32) -> Layout {
        // The table size depends on the cluster count and the count on the data start, so the
        // table is sized for the whole partition.
        let table = (length / sectors_per_cluster).div_ceil(SECTOR as u32 / 32);
        let data_start = (DESCRIPTOR_SECTOR + table).next_multiple_of(256) + 256;
        Layout {
            sectors_per_cluster,
            reserved,
            data_start,
            clusters: length.saturating_sub(data_start) / sectors_per_cluster,
            unit: (reserved * sectors_per_cluster / 32).next_multiple_of(8),
            large_units: 24,
        }
    }

    /// First sector of the log area and its length, relative to the partition start.
    pub fn log(&self) -> (u32, u32) {
        (self.data_start + 9 * self.unit, 5 * self.unit)
    }
}

/// Values of a boot sector that do not follow from the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootValues {
    /// How often the ring has come back to this partition.
    pub restarts: u32,
    /// Begin of the earliest recording, if there is one.
    pub earliest: Option<Moment>,
    /// End of the latest recording.
    pub latest: Option<Moment>,
    /// Cluster written last.
    pub last_written: u32,
    /// The date at +0xEC, whose meaning is unknown.
    pub formatted: Moment,
    /// Sectors added to the true data start in +0x48; zero on a healthy disk.
    pub data_start_shift: i32,
}

/// The boot sector of a partition; its copy is identical.
pub fn boot_sector(layout: &Layout, values: &BootValues) -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    let mut put = |at, value| put_u32(&mut sector, at, value);
    let packed = |moment: Option<Moment>| moment.map_or(0, Moment::packed);
    let (data, unit) = (layout.data_start, layout.unit);
    put(0x08, values.restarts);
    put(0x0C, 85);
    put(0x10, packed(values.earliest));
    put(0x14, packed(values.latest));
    put(0x18, values.last_written);
    put(0x2C, SECTOR as u32);
    put(0x30, layout.sectors_per_cluster);
    put(0x38, layout.reserved);
    put(0x3C, data - 256);
    put(0x40, BOOT_SECTOR);
    put(0x44, DESCRIPTOR_SECTOR);
    put(0x48, data.wrapping_add_signed(values.data_start_shift));
    put(0x4C, layout.clusters);
    put(0x54, 5);
    put(0x58, data);
    put(0x5C, 16);
    put(0x60, 4 * unit * SECTOR as u32 / 16);
    put(0x64, 1);
    put(0x68, 1);
    put(0x70, values.last_written);
    put(0x74, values.last_written);
    put(0x88, data / 2);
    put(0x90, data + 4 * unit);
    put(0x94, unit);
    put(0x9C, 38);
    put(0xB8, data + 5 * unit);
    put(0xBC, 4 * unit);
    put(0xEC, values.formatted.packed());
    put(0xF0, BOOT_COPY);
    put(0xF4, 70);
    let (log, log_length) = layout.log();
    put(0xF8, log);
    put(0xFC, log_length);
    put(0x100, log + log_length);
    put(0x104, 4 * unit);
    put(0x10C, data + 20 * unit);
    put(0x110, unit);
    let large = data + layout.large_units * unit;
    put(0x114, large);
    put(0x118, (data + layout.reserved * layout.sectors_per_cluster).saturating_sub(large));
    put(0x11C, layout.sectors_per_cluster);
    sector[0x148..0x14C].copy_from_slice(&MARKER);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    const DISK_A: Layout = Layout {
        sectors_per_cluster: 4096,
        reserved: 4160,
        data_start: 6656,
        clusters: 29_807,
        unit: 4096,
        large_units: 64,
    };

    #[test]
    fn the_boot_sector_of_disk_a_is_byte_exact_but_for_its_stale_pointers() {
        let values = BootValues {
            restarts: 223,
            earliest: Some(Moment::at((2020, 4, 14), (22, 2, 57))),
            latest: Some(Moment::at((2020, 4, 15), (11, 19, 1))),
            last_written: 29_806,
            formatted: Moment::at((2020, 4, 12), (10, 13, 54)),
            data_start_shift: 0,
        };
        let mut expected = [0; SECTOR];
        expected[..0x120].copy_from_slice(&hex!(
            "0000000000000000df00000055000000 b9601d51c1b41e516e74000000000000"
            "00000000000000000000000000020000 00100000000000004010000000190000"
            "22000000bb000000001a00006f740000 0000000005000000001a000010000000"
            "00000800010000000100000000000000 6e7400006e7400000000000000000000"
            "0000000000000000000d000000000000 005a0000001000000000000026000000"
            "00000000000000000000000000000000 0000000000000000006a000000400000"
            "00000000000000000000000000000000 00000000000000000000000000000000"
            "00000000000000000000000076a31851 420000004600000000aa000000500000"
            "00fa00000040000000000000005a0100 00100000001a04000000000100100000"
        ));
        expected[0x148..0x14C].copy_from_slice(&MARKER);
        assert_eq!(boot_sector(&DISK_A, &values), expected);
    }

    #[test]
    fn a_layout_leaves_room_for_its_table_and_its_areas() {
        for (length, spc) in [(8192, 128), (81_920, 128), (700_000, 4096), (1 << 31, 4096)] {
            let layout = Layout::new(length, spc, 4);
            let table_end = DESCRIPTOR_SECTOR + (layout.clusters * 32).div_ceil(512);
            assert!(table_end <= layout.data_start - 256);
            assert_eq!(layout.clusters, (length - layout.data_start) / spc);
            assert!(layout.large_units * layout.unit <= layout.reserved * spc);
        }
    }
}
