//! IDENTIFY DEVICE as a disk or the kernel gave it.
//!
//! Facts: ATA/ATAPI-8 ACS, section 7.16 (words 10 to 19 serial number, 23 to 26 firmware, 27 to 46 model, 82 to 87 features, 128
//! security, 217 rotation); SAT-3, section 12.4.2 (page 89h has the data from byte 60 on). Strings are stored with the two
//! bytes of each word exchanged.

use serde::Serialize;
use wb_policy::capture::IdentifyData;

/// Where the data lie in page 89h.
const VPD_OFFSET: usize = 60;

/// The 512 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentifyPage(IdentifyData);

/// Security feature set (word 128), as the drive reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Security {
    /// The drive has the feature set.
    #[serde(rename = "supported")]
    pub is_supported: bool,
    /// A password is set.
    #[serde(rename = "enabled")]
    pub is_enabled: bool,
    /// It does not give out data without the password.
    #[serde(rename = "locked")]
    pub is_locked: bool,
    /// Its state cannot be changed before the next power cycle.
    #[serde(rename = "frozen")]
    pub is_frozen: bool,
    /// Too many wrong passwords.
    #[serde(rename = "count_expired")]
    pub is_count_expired: bool,
    /// The master password alone does not unlock it.
    #[serde(rename = "level_maximum")]
    pub is_level_maximum: bool,
}

impl IdentifyPage {
    /// The data, if there are 512 bytes of them.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        Some(Self(IdentifyData(bytes.try_into().ok()?)))
    }

    /// The data in the page of vital product data that an ATA translation has.
    pub fn of_vpd(page: &[u8]) -> Option<Self> {
        let end = VPD_OFFSET.checked_add(512)?;
        Self::new(page.get(VPD_OFFSET..end)?)
    }

    /// The bytes.
    pub const fn bytes(&self) -> &[u8; 512] {
        &self.0.0
    }

    /// Words and sizes.
    pub const fn data(&self) -> &IdentifyData {
        &self.0
    }

    /// Model number.
    pub fn model(&self) -> Option<String> {
        self.text(27, 20)
    }

    /// Serial number.
    pub fn serial(&self) -> Option<String> {
        self.text(10, 10)
    }

    /// Firmware revision.
    pub fn firmware(&self) -> Option<String> {
        self.text(23, 4)
    }

    /// Security state.
    pub fn security(&self) -> Security {
        let word = self.0.word(128);
        let bit = |bit: u16| word & bit != 0;
        Security {
            is_supported: bit(0x0001),
            is_enabled: bit(0x0002),
            is_locked: bit(0x0004),
            is_frozen: bit(0x0008),
            is_count_expired: bit(0x0010),
            is_level_maximum: bit(0x0100),
        }
    }

    fn text(&self, first: usize, words: usize) -> Option<String> {
        let bytes =
            (0..words).flat_map(|word| self.0.word(first.saturating_add(word)).to_be_bytes());
        let bytes: Vec<u8> = bytes.collect();
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// IDENTIFY data with a serial, a firmware and a model, 48-bit addressing and a right sum.
    pub(crate) fn identify(serial: &str, firmware: &str, model: &str, blocks: u64) -> [u8; 512] {
        let mut words = [0_u16; 256];
        let mut put = |first: usize, count: usize, text: &str| {
            let padded = format!("{text:<width$}", width = count * 2);
            for (word, pair) in words[first..].iter_mut().zip(padded.as_bytes().chunks(2)) {
                *word = u16::from_be_bytes([pair[0], pair[1]]);
            }
        };
        put(10, 10, serial);
        put(23, 4, firmware);
        put(27, 20, model);
        words[82] = 1 << 10 | 1;
        words[83] = 0x4000 | 1 << 10 | 1 << 11;
        words[84] = 0x4000;
        for (index, word) in words[100..104].iter_mut().enumerate() {
            *word = (blocks >> (16 * index)) as u16;
        }
        words[128] = 0x0009;
        let mut bytes = [0; 512];
        for (pair, word) in bytes.chunks_mut(2).zip(words) {
            pair.copy_from_slice(&word.to_le_bytes());
        }
        bytes[510] = 0xA5;
        let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        bytes[511] = 0_u8.wrapping_sub(sum);
        bytes
    }

    /// names and the security state as they are stored.
    #[test]
    fn strings_are_exchanged_and_trimmed() {
        let page = IdentifyPage::new(&identify("W4Z0ABCD", "CC43", "ST1000VX001-1HH162", 1 << 31));
        let page = page.unwrap();
        assert!(page.data().is_valid());
        assert_eq!(page.serial().as_deref(), Some("W4Z0ABCD"));
        assert_eq!(page.firmware().as_deref(), Some("CC43"));
        assert_eq!(page.model().as_deref(), Some("ST1000VX001-1HH162"));
        let security = page.security();
        assert!(security.is_supported && security.is_frozen);
        assert!(!security.is_enabled && !security.is_locked && !security.is_level_maximum);
        assert_eq!(page.data().addressable(), 1 << 31);
        assert_eq!(IdentifyPage::new(&[0; 511]), None);
        assert_eq!(IdentifyPage::of_vpd(&[0; 571]), None);
    }
}
