//! What the programs of the guest's attack have to come to.
//!
//! By hand, from what the programs are for. A program's own exit proves little: `hdparm` ends with 0 after a refused command, and what
//! goes into the kernel's cache succeeds until it is written; the kernel itself stops others, because it knows that the disk is
//! write-protected. So the record of the link is asked: the operation codes that stand here were carried while the program ran, and
//! every one of them was refused. What the kernel stops is repeated in phase `forced`, whose kernel does not know.

use Exit::{Any, Fails, Succeeds};
use Sent::{Ata, Op};

use crate::judge::Kind;

/// How a program may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With an error.
    Fails,
    /// Without one, or the attack says nothing.
    Succeeds,
    /// It says nothing.
    Any,
}

/// A command that a program makes reach the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// By its operation code.
    Op(u8),
    /// An ATA command in a pass-through, by its command code.
    Ata(u8),
}

/// A program: its name, how it ends, and what it makes reach the bridge.
pub type Program = (&'static str, Exit, &'static [Sent]);

/// Phase `raw`.
const RAW: &[Program] = &[("sg_reset_device", Succeeds, &[])];

/// Phase `tools`.
const TOOLS: &[Program] = &[
    ("sg_dd_write", Fails, &[Op(0x2A)]),
    ("sg_dd_write_16", Fails, &[Op(0x8A)]),
    ("sg_write_same", Fails, &[Op(0x93)]),
    ("sg_write_same_unmap", Fails, &[Op(0x93)]),
    ("sg_write_same_ndob", Fails, &[Op(0x93)]),
    ("sg_unmap", Fails, &[Op(0x42)]),
    ("sg_write_verify", Fails, &[Op(0x2E)]),
    ("sg_write_x_atomic", Fails, &[Op(0x9C)]),
    ("sg_compare_and_write", Fails, &[Op(0x89)]),
    ("sg_write_long", Fails, &[Op(0x3F)]),
    ("sg_write_buffer", Fails, &[Op(0x3B)]),
    ("sg_reassign", Fails, &[Op(0x07)]),
    // With --save it gives up by itself when it reads that nothing can be saved.
    ("sg_wr_mode", Any, &[]),
    ("sg_wr_mode_current", Fails, &[Op(0x55)]),
    ("sg_persist", Fails, &[Op(0x5F)]),
    ("sg_senddiag", Fails, &[Op(0x1D)]),
    ("sg_ident", Fails, &[Op(0xA4)]),
    ("sg_timestamp", Fails, &[Op(0xA4)]),
    // Asks for the groups first, which are not told.
    ("sg_stpg", Fails, &[]),
    ("sg_sat_set_features", Fails, &[Op(0x85)]),
    ("sg_zone_finish", Fails, &[Op(0x94)]),
    ("sg_reset_wp", Fails, &[Op(0x94)]),
    ("sg_logs_reset", Fails, &[Op(0x4C)]),
    ("sg_format", Fails, &[Op(0x04)]),
    ("sg_sanitize_block", Fails, &[Op(0x48)]),
    ("sg_sanitize_overwrite", Fails, &[Op(0x48)]),
    // Answered with GOOD, and nothing done.
    ("sg_start_stop", Any, &[]),
    ("sg_start_start", Any, &[]),
    ("sg_start_eject", Any, &[]),
    ("sg_start_load", Any, &[]),
];

/// Phase `system`: what the kernel stops by itself, and `hdparm`, which it does not stop.
const SYSTEM: &[Program] = &[
    ("system_setrw", Any, &[]),
    ("system_mount_ro", Fails, &[]),
    ("system_mount_ro_noload", Succeeds, &[]),
    ("system_umount", Succeeds, &[]),
    ("system_mount_rw", Fails, &[]),
    ("system_e2fsck", Fails, &[]),
    ("system_dd", Fails, &[]),
    ("system_flushbufs", Succeeds, &[]),
    ("system_dd_direct", Fails, &[]),
    ("system_dd_fsync", Fails, &[]),
    ("system_sfdisk", Fails, &[]),
    ("system_mkfs", Fails, &[]),
    ("system_wipefs", Fails, &[]),
    ("system_blkdiscard", Fails, &[]),
    ("system_blkdiscard_secure", Fails, &[]),
    ("system_blkdiscard_zero", Fails, &[]),
];

/// Phase `forced`.
const FORCED: &[Program] = &[
    ("forced_rebind", Succeeds, &[]),
    ("forced_setrw", Succeeds, &[]),
    ("forced_mount_ro", Fails, &[Op(0x2A)]),
    ("forced_mount_ro_noload", Succeeds, &[]),
    ("forced_umount", Succeeds, &[]),
    ("forced_mount_rw", Fails, &[Op(0x2A)]),
    ("forced_e2fsck", Fails, &[Op(0x2A)]),
    ("forced_dd", Any, &[Op(0x2A)]),
    ("forced_flushbufs", Succeeds, &[]),
    ("forced_dd_direct", Fails, &[Op(0x2A)]),
    ("forced_dd_fsync", Fails, &[Op(0x2A)]),
    ("forced_sfdisk", Any, &[Op(0x2A)]),
    ("forced_mkfs", Fails, &[Op(0x2A)]),
    ("forced_wipefs", Any, &[Op(0x2A)]),
    // The kernel knows of no UNMAP before it is told; a disk of SCSI has no secure one.
    ("forced_blkdiscard", Fails, &[]),
    ("forced_blkdiscard_secure", Fails, &[]),
    ("forced_blkdiscard_zero", Fails, &[Op(0x2A)]),
    ("forced_hdparm_trim", Any, &[Ata(0x06)]),
    ("forced_discard_unmap", Fails, &[Op(0x42)]),
    ("forced_discard_writesame_16", Fails, &[Op(0x93)]),
    ("forced_discard_writesame_10", Fails, &[Op(0x41)]),
    ("forced_zero_writesame", Fails, &[Op(0x41)]),
    ("forced_zero_writesame_16_unmap", Fails, &[Op(0x93)]),
    ("forced_zero_writesame_10_unmap", Fails, &[Op(0x41)]),
    ("forced_cache_type_write_through", Fails, &[Op(0x15)]),
    ("forced_cache_type_write_back", Fails, &[Op(0x15)]),
];

/// `hdparm`, with every switch that changes a drive.
const HDPARM: &[Program] = &[
    ("hdparm_write_cache_off", Any, &[Ata(0xEF)]),
    ("hdparm_write_cache_on", Any, &[Ata(0xEF)]),
    ("hdparm_apm", Any, &[Ata(0xEF)]),
    // It compares what the drive says of its size first, and gives up.
    ("hdparm_native_max", Any, &[]),
    ("hdparm_write_sector", Any, &[Ata(0x30)]),
    ("hdparm_make_bad_sector", Any, &[Ata(0x33)]),
    // Stopped by the kernel.
    ("hdparm_trim", Fails, &[]),
    ("hdparm_security_freeze", Any, &[Ata(0xF5)]),
    ("hdparm_security_set_pass", Any, &[Ata(0xF1)]),
    ("hdparm_security_unlock", Any, &[Ata(0xF2)]),
    ("hdparm_security_erase", Any, &[Ata(0xF3), Ata(0xF4)]),
    ("hdparm_security_disable", Any, &[Ata(0xF6)]),
    ("hdparm_dco_freeze", Any, &[Ata(0xB1)]),
    ("hdparm_dco_restore", Any, &[Ata(0xB1)]),
    ("hdparm_sanitize", Any, &[Ata(0xB4)]),
    ("hdparm_sanitize_crypto", Any, &[Ata(0xB4)]),
    // The drive does not announce it.
    ("hdparm_fwdownload", Fails, &[]),
    ("hdparm_standby", Any, &[Ata(0xE0)]),
];

/// The programs of a phase.
pub fn of(phase: &str) -> Vec<Program> {
    match phase {
        "raw" => RAW.to_vec(),
        "tools" => TOOLS.to_vec(),
        "system" => [SYSTEM, HDPARM].concat(),
        "forced" => FORCED.to_vec(),
        _ => panic!("there is no phase {phase}"),
    }
}

/// What a program makes reach a bridge with this on its drive side: `hdparm` asks for the drive's identity before it does these, and gives
/// up where there is none.
pub fn sent(program: &Program, kind: Kind) -> &'static [Sent] {
    match (program.0, kind) {
        ("hdparm_sanitize" | "hdparm_sanitize_crypto", Kind::Scsi | Kind::Card) => &[],
        _ => program.2,
    }
}
