//! RIFF/WAVE files of PCM: Multimedia Programming Interface and Data Specifications 1.0, chapter 3.
//!
//! The number of bytes is given when the file is begun, so nothing is written twice and the bytes can be hashed in
//! file order.

use std::io::{self, Write};

const RIFF_OVERHEAD: u32 = 4 + 8 + 16 + 8;
const FORMAT_PCM: u16 = 1;

/// Sampling of the PCM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WavFormat {
    /// 8 (unsigned) or 16 (signed, little-endian).
    pub bits: u16,
    /// Channels, interleaved.
    pub channels: u16,
    /// Samples per second and channel.
    pub sample_rate: u32,
}

/// Why a WAVE file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// The destination failed.
    #[error("writing the WAVE file: {0}")]
    Io(#[from] io::Error),
    /// Sampling that WAVE PCM does not have.
    #[error("no WAVE PCM of {} bits, {} channels, {} samples a second", .0.bits, .0.channels, .0.sample_rate)]
    Format(WavFormat),
    /// More bytes than the 32-bit sizes of the file can say.
    #[error("{0} bytes of samples do not fit in a WAVE file")]
    TooLong(u64),
    /// The samples written are not those announced.
    #[error("{announced} bytes of samples were announced, {written} written")]
    Length {
        /// Bytes given to [`WavWriter::new`].
        announced: u32,
        /// Bytes written.
        written: u64,
    },
}

/// Writes one WAVE file in order.
#[derive(Debug)]
pub struct WavWriter<W: Write> {
    out: W,
    announced: u32,
    written: u64,
}

impl<W: Write> WavWriter<W> {
    /// Writes the header of a file with `data_bytes` bytes of samples.
    ///
    /// # Errors
    /// Sampling WAVE does not have, too many bytes, or the destination's error.
    pub fn new(mut out: W, format: WavFormat, data_bytes: u64) -> Result<Self, WavError> {
        let bytes_per_frame = match format.bits {
            8 => Some(format.channels),
            16 => format.channels.checked_mul(2),
            _ => None,
        };
        let bytes_per_frame = bytes_per_frame.filter(|&bytes| bytes > 0);
        let frame = bytes_per_frame.ok_or(WavError::Format(format))?;
        let rate = format.sample_rate.checked_mul(u32::from(frame));
        let rate = rate.filter(|&rate| rate > 0).ok_or(WavError::Format(format))?;
        let announced = u32::try_from(data_bytes).map_err(|_| WavError::TooLong(data_bytes))?;
        let riff = announced.checked_add(announced & 1).and_then(|n| n.checked_add(RIFF_OVERHEAD));
        let riff = riff.ok_or(WavError::TooLong(data_bytes))?;

        let mut header = Vec::with_capacity(44);
        header.extend_from_slice(b"RIFF");
        header.extend_from_slice(&riff.to_le_bytes());
        header.extend_from_slice(b"WAVEfmt ");
        header.extend_from_slice(&16u32.to_le_bytes());
        header.extend_from_slice(&FORMAT_PCM.to_le_bytes());
        header.extend_from_slice(&format.channels.to_le_bytes());
        header.extend_from_slice(&format.sample_rate.to_le_bytes());
        header.extend_from_slice(&rate.to_le_bytes());
        header.extend_from_slice(&frame.to_le_bytes());
        header.extend_from_slice(&format.bits.to_le_bytes());
        header.extend_from_slice(b"data");
        header.extend_from_slice(&announced.to_le_bytes());
        out.write_all(&header)?;
        Ok(Self { out, announced, written: 0 })
    }

    /// Appends samples as they stand.
    ///
    /// # Errors
    /// More bytes than announced, or the destination's error.
    pub fn write(&mut self, samples: &[u8]) -> Result<(), WavError> {
        let added = u64::try_from(samples.len()).unwrap_or(u64::MAX);
        let written = self.written.saturating_add(added);
        if written > u64::from(self.announced) {
            return Err(WavError::Length { announced: self.announced, written });
        }
        self.out.write_all(samples)?;
        self.written = written;
        Ok(())
    }

    /// Ends the file and gives the destination back.
    ///
    /// # Errors
    /// Fewer bytes than announced, or the destination's error.
    pub fn finish(mut self) -> Result<W, WavError> {
        if self.written != u64::from(self.announced) {
            return Err(WavError::Length { announced: self.announced, written: self.written });
        }
        if self.announced & 1 == 1 {
            self.out.write_all(&[0])?; // chunks have even lengths
        }
        self.out.flush()?;
        Ok(self.out)
    }
}
