//! `info.bin` in the root of a share: which camera writes to it.
//!
//! Facts: `docs/formats/hikvision.md` section 9.0.

use daleel_core::{Extent, FileTree, FormatError, Structure, TreeFile};

use crate::fields::table;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned, little_endian::U32};

use super::{fields, media::split};

/// Its name.
const NAME: &str = "info.bin";

/// The whole of it.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawInfo {
    serial: [u8; 48],  // 00
    mac: [u8; 6],      // 30
    reserved: [u8; 2], // 36
    block_bytes: U32,  // 38
    blocks: U32,       // 3C
    data_folders: U32, // 40
}

const BYTES: u64 = size_of::<RawInfo>() as u64;

/// An `info.bin` that makes sense.
pub struct Info {
    file: TreeFile,
    facts: Vec<(String, String)>,
    /// Data folders it states.
    pub data_folders: u32,
}

impl Info {
    /// Those of a tree: files of the name whose serial number is text.
    pub fn all(tree: &FileTree) -> Vec<Self> {
        let named = |file: &&TreeFile| split(&file.path).1.eq_ignore_ascii_case(NAME);
        tree.files.iter().filter(named).filter_map(Self::read).collect()
    }

    fn read(file: &TreeFile) -> Option<Self> {
        let bytes = file.source.read(Extent::new(0, BYTES)).ok()?;
        let (raw, _) = RawInfo::ref_from_prefix(&bytes).ok()?;
        let end = raw.serial.iter().position(|byte| *byte == 0).unwrap_or(raw.serial.len());
        let serial = std::str::from_utf8(raw.serial.get(..end)?).ok()?;
        let is_text = !serial.is_empty()
            && serial.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        let rest_is_zero = raw.serial.get(end..)?.iter().all(|byte| *byte == 0);
        if !is_text || !rest_is_zero {
            return None;
        }
        let mac: Vec<_> = raw.mac.iter().map(|byte| format!("{byte:02X}")).collect();
        let room = u64::from(raw.block_bytes.get()).saturating_mul(u64::from(raw.blocks.get()));
        let data_folders = raw.data_folders.get();
        let facts = vec![
            ("camera serial".to_owned(), serial.to_owned()),
            ("camera MAC address".to_owned(), mac.join(":")),
            (
                "share".to_owned(),
                format!(
                    "{} blocks of {} bytes ({room} bytes), {data_folders} data folders",
                    raw.blocks.get(),
                    raw.block_bytes.get()
                ),
            ),
        ];
        Some(Self { file: file.clone(), facts, data_folders })
    }

    /// Its path.
    pub fn path(&self) -> &str {
        &self.file.path
    }

    /// What it says, for people.
    pub fn facts(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.facts.iter().cloned()
    }

    /// The structure, field by field.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn describe(&self, offset: u64) -> Result<Vec<Structure>, FormatError> {
        let at = Extent::new(0, BYTES);
        if !at.contains(offset) {
            return Ok(Vec::new());
        }
        table(&*self.file.source, NAME, at, fields::INFO_PURPOSE, fields::INFO)
            .map(|structure| vec![structure])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn info(serial: &[u8]) -> Vec<Info> {
        let mut bytes = vec![0; 68];
        bytes[..serial.len()].copy_from_slice(serial);
        bytes[0x30..0x36].copy_from_slice(&[0xC0, 0x56, 0xE3, 1, 2, 3]);
        bytes[0x38..0x3C].copy_from_slice(&4096u32.to_le_bytes());
        bytes[0x3C..0x40].copy_from_slice(&1000u32.to_le_bytes());
        bytes[0x40..].copy_from_slice(&2u32.to_le_bytes());
        let file = TreeFile { path: "share/info.bin".to_owned(), source: Arc::new(bytes) };
        Info::all(&FileTree { files: vec![file] })
    }

    #[test]
    fn it_names_the_camera() {
        let found = info(b"DS-2CD2042WD-I20170101AAWR000000000");
        let facts: Vec<_> = found[0].facts().collect();
        assert_eq!(facts[0].1, "DS-2CD2042WD-I20170101AAWR000000000");
        assert_eq!(facts[1].1, "C0:56:E3:01:02:03");
        assert_eq!((facts[2].1.contains("4096000 bytes"), found[0].data_folders), (true, 2));
        assert_eq!(found[0].describe(0x31).unwrap()[0].fields.len(), 6);
    }

    #[test]
    fn another_info_bin_is_none() {
        assert!(info(&[0xFF; 48]).is_empty() && info(b"").is_empty());
    }
}
