//! `info.bin`, the root file of a network share that a camera records to.
//!
//! Facts: `docs/formats/hikvision.md`, section 9.0.

use crate::Error;
use crate::image::Image;

/// Bytes in use.
pub const INFO_BYTES: u64 = 68;

/// What `info.bin` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Serial number of the device, at most 48 characters.
    pub serial: String,
    /// Hardware address of the device.
    pub mac: [u8; 6],
    /// Block size of the share.
    pub block_bytes: u32,
    /// Blocks of the share.
    pub blocks: u32,
    /// Number of data folders.
    pub datadirs: u32,
}

impl Info {
    /// The bytes of the file.
    ///
    /// # Errors
    /// [`Error::Plan`] when the serial number is too long.
    pub fn encode(&self) -> Result<Image, Error> {
        if self.serial.len() > 48 {
            return Err(Error::Plan(format!("serial number {} is too long", self.serial)));
        }
        let mut bytes = self.serial.clone().into_bytes();
        bytes.resize(48, 0);
        bytes.extend(self.mac);
        bytes.extend([0; 2]);
        for value in [self.block_bytes, self.blocks, self.datadirs] {
            bytes.extend(value.to_le_bytes());
        }
        let mut image = Image::new(INFO_BYTES);
        image.write(0, &bytes)?;
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_lie_where_the_document_says() {
        let info = Info {
            serial: "DS-2CD2043G0-I20190312AAWRC89413221".into(),
            mac: [0x44, 0x19, 0xB6, 1, 2, 3],
            block_bytes: 4096,
            blocks: 0x0102_0304,
            datadirs: 2,
        };
        let image = info.encode().unwrap();
        assert_eq!(image.len(), 68);
        let bytes = image.read(0, 68);
        assert!(bytes.starts_with(b"DS-2CD2043G0-I2019") && bytes[47] == 0);
        assert_eq!(bytes[0x30..0x36], [0x44, 0x19, 0xB6, 1, 2, 3]);
        assert_eq!(bytes[0x3C..0x40], [4, 3, 2, 1]);
        assert_eq!(bytes[0x40], 2);
    }
}
