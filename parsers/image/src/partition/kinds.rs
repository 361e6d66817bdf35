//! Common meanings of partition types: a help for the reader, never a reason to accept or refuse.
//!
//! Facts: the types that `sfdisk --list-types` of util-linux 2.38 names, cut to those seen on recorders, memory cards
//! and PCs; GPT types from UEFI 2.10 table 5.7 and the Discoverable Partitions Specification.

/// What an MBR type byte is commonly used for.
pub(super) const fn mbr_kind_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0x00 => "empty",
        0x01 => "FAT12",
        0x04 | 0x06 | 0x0e => "FAT16",
        0x05 => "extended",
        0x07 => "NTFS or exFAT",
        0x0b | 0x0c => "FAT32",
        0x0f => "extended (LBA)",
        0x82 => "Linux swap",
        0x83 => "Linux",
        0x85 => "Linux extended",
        0x8e => "Linux LVM",
        0xa5 => "FreeBSD",
        0xda => "non-file-system data",
        0xee => "GPT protective",
        0xef => "EFI system",
        0xfd => "Linux RAID",
        _ => return None,
    })
}

/// What a GPT type is commonly used for.
pub(super) fn gpt_kind_name(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" => "EFI system",
        "21686148-6449-6E6F-744E-656564454649" => "BIOS boot",
        "E3C9E316-0B5C-4DB8-817D-F92DF00215AE" => "Microsoft reserved",
        "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7" => "Microsoft basic data",
        "0FC63DAF-8483-4772-8E79-3D69D8477DE4" => "Linux",
        "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F" => "Linux swap",
        "E6D6D379-F507-44C2-A23C-238F2A3DF928" => "Linux LVM",
        "A19D880F-05FC-4D3B-A006-743F0F84911E" => "Linux RAID",
        _ => return None,
    })
}
