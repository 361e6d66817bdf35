//! A firmware image: the flash range between two symbols, and its digest.
//!
//! Facts: published requirements, section 4.5: the firmware digest is SHA-256 of the flash from `__image_start` to `__image_end`, and the
//! released `.bin` is exactly this range. Gaps between the segments of the ELF file are FFh in it, what erased flash holds: so the digest is
//! the same whether a loader writes the range, as everything here does, or the segments alone, as others do.

use std::{fs::File, io::Read, ops::Range, path::Path};

use anyhow::{Context, Result};
use object::{
    Endianness,
    elf::{FileHeader32, PT_LOAD},
    read::elf::{FileHeader, ProgramHeader, Sym},
};

use crate::exit::{Exit, Failure};

/// Largest image, the largest flash of a board.
pub const IMAGE_BYTES_MAX: u64 = 8 << 20;
/// Largest file: an ELF file with debug information.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// What erased flash holds.
pub const ERASED: u8 = 0xFF;
const ELF_MAGIC: &[u8] = b"\x7fELF";
const START: &[u8] = b"__image_start";
const END: &[u8] = b"__image_end";

/// The bytes of a firmware and where in flash they belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Address of the first byte.
    pub start: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Image {
    /// Reads an ELF file, or any other as a `.bin` that begins at `base`.
    ///
    /// # Errors
    /// When it cannot be read, is too large, or is an ELF file without the two symbols.
    pub fn read(path: &Path, base: Option<u64>) -> Result<Self> {
        let bytes = read_file(path)?;
        if bytes.starts_with(ELF_MAGIC) {
            return Self::from_elf(&bytes).with_context(|| path.display().to_string());
        }
        if let Some(name) = loader_file(&bytes) {
            let text = format!("{} is {name}, which holds an image in pieces", path.display());
            return Err(Failure::new(Exit::Unsupported, text)
                .hint("give the ELF file or the .bin that it was made from")
                .into());
        }
        let start = base.unwrap_or(0);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if bytes.is_empty() || length > IMAGE_BYTES_MAX {
            let text = format!("{}: {length} bytes are no firmware image", path.display());
            return Err(Failure::new(Exit::Unsupported, text).into());
        }
        Ok(Self { start, bytes })
    }

    /// The range between the symbols, from the loadable segments by physical address.
    ///
    /// # Errors
    /// When the file is damaged or is no image of a bridge.
    pub fn from_elf(elf: &[u8]) -> Result<Self> {
        let fault = |text: &str| Failure::new(Exit::Unsupported, text.to_owned());
        let header = FileHeader32::<Endianness>::parse(elf)
            .map_err(|error| fault(&format!("no ELF file of a board: {error}")))?;
        let endian = header.endian().map_err(|error| fault(&error.to_string()))?;
        let range = symbols(header, endian, elf).ok_or_else(|| {
            fault("the ELF file does not say where its image begins and ends (__image_start, __image_end)")
        })?;
        let length = range.end.checked_sub(range.start).filter(|length| *length > 0);
        let length = length.filter(|length| *length <= IMAGE_BYTES_MAX);
        let length = length.and_then(|length| usize::try_from(length).ok());
        let length = length.ok_or_else(|| fault("the image's symbols are no range of flash"))?;
        let mut bytes = vec![ERASED; length];
        let mut is_empty = true;
        let segments =
            header.program_headers(endian, elf).map_err(|error| fault(&error.to_string()))?;
        for segment in segments.iter().filter(|segment| segment.p_type(endian) == PT_LOAD) {
            let data =
                segment.data(endian, elf).map_err(|()| fault("a segment lies outside the file"))?;
            let at = u64::from(segment.p_paddr(endian));
            is_empty &= !overlay(&mut bytes, range.start, at, data);
        }
        if is_empty {
            return Err(fault("no segment lies in the image's range").into());
        }
        Ok(Self { start: range.start, bytes })
    }

    /// The firmware digest.
    pub fn digest(&self) -> wb_attest::Digest {
        wb_attest::sha256(&[&self.bytes])
    }

    /// The addresses it covers.
    pub fn range(&self) -> Range<u64> {
        let length = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        self.start..self.start.saturating_add(length)
    }
}

/// The name of a form for loaders, where a file is of one: taken for a .bin it would be loaded as it stands.
fn loader_file(bytes: &[u8]) -> Option<&'static str> {
    let is_record = |line: &[u8]| {
        line.strip_prefix(b":").is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let first = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    if bytes.starts_with(b"UF2\n") {
        Some("a UF2 file")
    } else {
        (first.len() > 10 && is_record(first)).then_some("an Intel HEX file")
    }
}

/// Reads a file of bounded size.
///
/// # Errors
/// When it cannot be read or is too large.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX.saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).with_context(|| path.display().to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length == limit) {
        let text = format!("{} is too large for a firmware", path.display());
        return Err(Failure::new(Exit::Unsupported, text).into());
    }
    Ok(bytes)
}

fn symbols(
    header: &FileHeader32<Endianness>,
    endian: Endianness,
    elf: &[u8],
) -> Option<Range<u64>> {
    let sections = header.sections(endian, elf).ok()?;
    let table = sections.symbols(endian, elf, object::elf::SHT_SYMTAB).ok()?;
    let value = |wanted: &[u8]| {
        let mut all = table.iter();
        let symbol = all.find(|symbol| table.symbol_name(endian, symbol) == Ok(wanted))?;
        Some(u64::from(symbol.st_value(endian)))
    };
    Some(value(START)?..value(END)?)
}

/// Copies the part of a segment that lies in the image; whether there is any.
fn overlay(bytes: &mut [u8], start: u64, at: u64, data: &[u8]) -> bool {
    let skipped = usize::try_from(start.saturating_sub(at)).unwrap_or(usize::MAX);
    let from = usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
    let Some(data) = data.get(skipped..) else { return false };
    let Some(place) = bytes.get_mut(from..) else { return false };
    for (to, byte) in place.iter_mut().zip(data) {
        *to = *byte;
    }
    !place.is_empty() && !data.is_empty()
}
