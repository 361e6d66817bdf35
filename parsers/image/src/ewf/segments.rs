//! The files of a set: what each is, and which number it has.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use daleel_core::{Extent, Source};

use super::{
    finding::{EwfError, EwfFinding, Notebook},
    names::Siblings,
    records::{Descriptor, FILE_HEADER_BYTES, SIGNATURE, u16_at},
};
use crate::{
    device::Identity,
    files::{FilePool, PooledFile},
};

/// Highest segment number; the names of the format end at 14,971, and the field has 16 bits.
const NUMBER_LIMIT: u32 = u16::MAX as u32;

/// A segment file of a set.
pub struct Segment {
    /// Where it is; its name alone when it was given as bytes.
    pub path: PathBuf,
    /// Its number, from 1.
    pub number: u32,
    /// Its size in bytes.
    pub bytes: u64,
    pub(super) name: String,
    pub(super) source: Arc<dyn Source>,
    pub(crate) identity: Option<Identity>,
}

/// A file that may be a segment, before its number is settled.
#[derive(Clone)]
pub struct SegmentInput {
    /// Path or name, for messages.
    pub path: PathBuf,
    /// Number that its name states.
    pub number: u32,
    /// Its bytes.
    pub source: Arc<dyn Source>,
    pub(super) identity: Option<Identity>,
}

impl SegmentInput {
    /// Bytes that are no file, as a segment of that number.
    pub fn new(name: &str, number: u32, source: Arc<dyn Source>) -> Self {
        Self { path: PathBuf::from(name), number, source, identity: None }
    }

    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// What the first bytes of a file say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Recognised {
    /// A segment of a physical image, and whether its signature is right.
    Physical(bool),
    /// A related format that is not read.
    Unsupported(String),
    /// Something else.
    No,
}

/// First bytes of formats that are known and not read.
const UNSUPPORTED: [(&[u8], &str); 5] = [
    (
        b"LVF\x09\x0d\x0a\xff\x00",
        "a logical evidence file (L01) holds copied files and no medium; it is not read",
    ),
    (
        b"EVF2\x0d\x0a\x81\x00",
        "an Ex01 image, version 2 of the format (EWF2), is not read yet; it can be exported as raw or E01",
    ),
    (
        b"LEF2\x0d\x0a\x81\x00",
        "a logical evidence file (Lx01, EWF2) holds copied files and no medium; it is not read",
    ),
    (
        b"EVF2",
        "an image of version 2 of the format (EWF2) is not read yet; it can be exported as raw or E01",
    ),
    (b"ADCRYPT\x00", "an image encrypted by AccessData (AD encryption) has to be decrypted first"),
];

/// Looks at the start of a file. A physical image is recognised by its signature, or, where that is damaged, by the
/// first section descriptor.
pub(crate) fn recognise(file: &dyn Source) -> Recognised {
    let Ok(start) = file.read(Extent::new(0, file.len().min(FILE_HEADER_BYTES))) else {
        return Recognised::No;
    };
    if let Some((_, text)) = UNSUPPORTED.iter().find(|(signature, _)| start.starts_with(signature))
    {
        return Recognised::Unsupported((*text).to_owned());
    }
    let is_signed = start.starts_with(&SIGNATURE);
    if let (true, Some(0x21 | 0xA1)) = (is_signed, start.get(8)) {
        let text = "an image packed with Zstandard by X-Ways is not read; X-Ways can convert it";
        return Recognised::Unsupported(text.to_owned());
    }
    let first = file.read_array::<76>(FILE_HEADER_BYTES).ok();
    let has_section = first
        .map(|bytes| Descriptor::parse(&bytes))
        .is_some_and(|first| first.sums && first.kind.is_some());
    match (is_signed, has_section) {
        (true, _) => Recognised::Physical(true),
        (false, true) => Recognised::Physical(false),
        (false, false) => Recognised::No,
    }
}

/// Finds the files of the set that `path` belongs to.
pub(super) fn find(path: &Path) -> Result<(Vec<SegmentInput>, Siblings), EwfError> {
    let failed = |path: &Path, error| EwfError::Io { path: path.to_owned(), error };
    let mut siblings = Siblings::find(path).map_err(|error| failed(path, error))?;
    let pool = Arc::new(FilePool::default());
    let own = input(&pool, path, 1).map_err(|error| failed(path, error))?;
    if let Some(own) = &own
        && siblings.naming.is_some()
        && let Some((by_name, _)) = siblings.files.iter().find(|(_, other)| other == path)
        && let Some(stated) = stated_number(&*own.source).filter(|stated| stated != by_name)
        && *by_name > 99
    {
        // `disk.img` is no segment name, though it looks like one far behind.
        siblings = Siblings::alone(path, stated);
    }
    let mut inputs = Vec::new();
    for (number, own) in &siblings.files {
        let input = input(&pool, own, *number).map_err(|error| failed(own, error))?;
        let Some(input) = input else { continue };
        let is_asked_for = own == path;
        match recognise(&*input.source) {
            Recognised::Physical(_) => inputs.push(input),
            Recognised::Unsupported(what) if is_asked_for => {
                return Err(EwfError::Unsupported { path: path.to_owned(), what });
            }
            Recognised::No if is_asked_for => {
                return Err(EwfError::NotEwf { path: path.to_owned() });
            }
            // `image.map` and `image.log` are named like segments far behind.
            Recognised::Unsupported(_) | Recognised::No if *number > 99 => {}
            Recognised::Unsupported(_) | Recognised::No => {
                siblings.notes.push(format!("{} is no segment of an E01 image", input.name()));
            }
        }
    }
    Ok((inputs, siblings))
}

fn input(pool: &Arc<FilePool>, path: &Path, number: u32) -> io::Result<Option<SegmentInput>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Ok(None);
    }
    // A link is resolved once, so that a later read meets the same file.
    let own = if path.is_symlink() { path.canonicalize()? } else { path.to_owned() };
    let file = PooledFile::new(pool, own, &metadata);
    let identity = file.identity();
    Ok(Some(SegmentInput { path: path.to_owned(), number, source: Arc::new(file), identity }))
}

/// The segments of a set in their order, and the numbers that are missing between them.
pub(super) struct Numbered {
    pub(super) segments: Vec<Segment>,
    pub(super) missing: Vec<u32>,
    /// Names were followed against the headers; then nothing may be missing.
    pub(super) is_by_name: bool,
}

/// Settles the numbers. The header of a file states one, without a checksum; the name states another. Where they differ,
/// the one is taken by which the set has no gap; where neither gives such a set, the files that contradict themselves
/// are left out: bytes at a wrong place would be worse than a hole. `may_follow_names` is taken back when the set turns
/// out not to be whole.
pub(super) fn number(
    inputs: Vec<SegmentInput>,
    may_follow_names: bool,
    notes: &Notebook,
) -> Numbered {
    let stated = |input: &SegmentInput| stated_number(&*input.source).unwrap_or(input.number);
    let mut inputs: Vec<_> = inputs.into_iter().map(|input| (stated(&input), input)).collect();
    let by_header = is_whole(inputs.iter().map(|(stated, _)| *stated));
    let by_name = may_follow_names && is_whole(inputs.iter().map(|(_, input)| input.number));
    for (stated, input) in inputs.iter().filter(|(stated, input)| *stated != input.number) {
        let expected = match (by_header, by_name) {
            (true, _) => {
                format!("{}, as in its name; by the headers the set is whole", input.number)
            }
            (false, true) => format!("{}, as in its name, by which the set is whole", input.number),
            (false, false) => format!("{}, as in its name; the file is left out", input.number),
        };
        note(notes, input, Extent::new(9, 2), format!("segment number {stated}"), expected);
    }
    if by_header {
        inputs.iter_mut().for_each(|(stated, input)| input.number = *stated);
    } else if !by_name {
        inputs.retain(|(stated, input)| *stated == input.number);
    }
    let mut segments: Vec<Segment> = Vec::new();
    inputs.sort_by_key(|(_, input)| input.number);
    for (_, input) in inputs {
        if input.number > NUMBER_LIMIT || segments.iter().any(|own| own.number == input.number) {
            let found = format!("segment number {}", input.number);
            note(notes, &input, Extent::new(9, 2), found, "one that no other file has".to_owned());
            continue;
        }
        note_file_header(notes, &input);
        segments.push(Segment {
            number: input.number,
            bytes: input.source.len(),
            name: input.name(),
            path: input.path,
            source: input.source,
            identity: input.identity,
        });
    }
    let last = segments.last().map_or(0, |last| last.number);
    let missing =
        (1..=last).filter(|number| segments.iter().all(|own| own.number != *number)).collect();
    Numbered { segments, missing, is_by_name: by_name && !by_header }
}

/// The number in the header of a file; none is 0.
fn stated_number(file: &dyn Source) -> Option<u32> {
    let header = file.read_array::<13>(0).ok()?;
    u16_at(&header, 9).map(u32::from).filter(|number| *number > 0)
}

/// True when the numbers are 1, 2, 3, ... to the last.
fn is_whole(numbers: impl Iterator<Item = u32>) -> bool {
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers.iter().zip(1..).all(|(number, expected)| *number == expected)
}

fn note(notes: &Notebook, input: &SegmentInput, at: Extent, found: String, expected: String) {
    notes.add(EwfFinding { segment: input.name(), at, structure: "file header", found, expected });
}

fn note_file_header(notes: &Notebook, input: &SegmentInput) {
    let Ok(header) = input.source.read_array::<13>(0) else { return };
    let [fields, _, _, zero @ ..] = header.last_chunk::<5>().copied().unwrap_or_default();
    if !header.starts_with(&SIGNATURE) {
        let expected = "`EVF` and five bytes; the first section is right, so the file is read";
        note(notes, input, Extent::new(0, 8), "another signature".to_owned(), expected.to_owned());
    }
    if fields != 1 {
        let found = format!("start of fields {fields:#04x}");
        note(notes, input, Extent::new(8, 1), found, "0x01".to_owned());
    }
    if zero != [0, 0] {
        note(
            notes,
            input,
            Extent::new(11, 2),
            "bytes behind the number".to_owned(),
            "zeros".to_owned(),
        );
    }
}
