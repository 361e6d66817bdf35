//! From a path to an input: what the path is, whether it has siblings, and which holes its map states.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use daleel_core::{Extent, Findings, Hole, Input, Source, Volume};

use crate::{
    device::Identity,
    ewf::{EwfError, EwfSet, EwfSource, Recognised, recognise},
    map::{MapError, MappedSource, RescueMap},
    partition::{Partition, read_partitions},
    raw::RawSource,
    split::{SplitLookup, SplitSource},
    tree,
};

/// Why a path cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The path is not there, may not be read, or is neither a folder, a file nor a block device.
    #[error("{}: {error}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The map file cannot be used.
    #[error("map {}: {error}", path.display())]
    Map {
        /// The map file.
        path: PathBuf,
        /// Why.
        error: MapError,
    },
    /// An image of the Expert Witness Compression Format that cannot be used.
    #[error(transparent)]
    Ewf(#[from] EwfError),
    /// A map describes a medium; a folder is none.
    #[error("{}: a map belongs to an image or a device, and this is a folder", path.display())]
    MapOfFolder {
        /// The folder.
        path: PathBuf,
    },
}

/// An opened path.
pub struct Opened {
    /// What a family is offered.
    pub input: Input,
    /// What the path is, in a few words: `raw image`, `split raw image, 4 pieces`, `E01 image, 3 segments, EnCase 6`,
    /// `block device`, `folder, 12 files`.
    pub description: String,
    /// What a person has to know: missing pieces, assumptions, what was left out, what a map states.
    pub notes: Vec<String>,
    /// File names of missing pieces of a split image, or of missing segments of an E01 image.
    pub missing: Vec<String>,
    /// Every file that is read, the map last.
    pub paths: Vec<PathBuf>,
    /// Size of the medium, or of all files of a folder, in bytes.
    pub size: u64,
    /// What the operating system calls the files, the device, or the folder.
    pub identities: Vec<Identity>,
    /// The folder itself, links resolved, when the input is one.
    folder: Option<PathBuf>,
}

impl Opened {
    /// True when `path` is one of the source's files or devices, or lies on the source device or in the source
    /// folder, so that nothing may be written there (U-6). A path that does not exist yet is judged by the folder it
    /// would be made in.
    ///
    /// # Errors
    /// When no folder above `path` can be looked at.
    pub fn is_on_source(&self, path: &Path) -> io::Result<bool> {
        let path = existing_part(path)?;
        if let Some(folder) = &self.folder
            && path.starts_with(folder)
        {
            return Ok(true);
        }
        // Numbers name a file on systems that have them; the resolved path does on the others.
        if self.paths.iter().any(|own| own.canonicalize().is_ok_and(|own| own == path)) {
            return Ok(true);
        }
        for identity in &self.identities {
            if identity.carries(&path)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The nearest existing file or folder at or above `path`, links resolved.
fn existing_part(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let mut error = io::Error::from(io::ErrorKind::NotFound);
    for above in absolute.ancestors() {
        match above.canonicalize() {
            // Where a `..` behind a folder that is yet to be made leads, nobody can say.
            Ok(_) if absolute.strip_prefix(above).is_ok_and(goes_up) => {
                let text = format!("`..` behind a folder that does not exist: {}", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            Ok(found) => return Ok(found),
            Err(found) => error = found,
        }
    }
    Err(error)
}

fn goes_up(path: &Path) -> bool {
    path.components().any(|part| part == std::path::Component::ParentDir)
}

/// Opens a folder, a raw image, any piece of a split raw image, any segment of an E01 image, or a block device; for
/// reading only. An E01 image is recognised by its first bytes, whatever its name.
///
/// `map` is the ddrescue map of the acquisition; without it every byte of the image counts as read from the medium.
///
/// # Errors
/// When the path or the map cannot be read or used, or a map is given for a folder. Character devices, pipes and
/// sockets are refused, and so are related formats that are not read (Ex01, L01, encrypted images).
pub fn open(path: &Path, map: Option<&Path>) -> Result<Opened, OpenError> {
    let failed = |error| OpenError::Io { path: path.to_owned(), error };
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        if map.is_some() {
            return Err(OpenError::MapOfFolder { path: path.to_owned() });
        }
        return open_folder(path, &metadata).map_err(failed);
    }
    if metadata.is_file() && is_ewf(path).map_err(failed)? {
        let opened = opened_ewf(EwfSet::open(path)?);
        return match map {
            Some(map) => with_map(opened, map),
            None => Ok(opened.finish()),
        };
    }
    let lookup =
        if metadata.is_file() { SplitSource::find(path) } else { Ok(SplitLookup::Single(None)) };
    let opened = match lookup.map_err(failed)? {
        SplitLookup::Set(set) => opened_set(set),
        SplitLookup::Single(note) => opened_raw(RawSource::open(path).map_err(failed)?, note),
    };
    match map {
        Some(map) => with_map(opened, map),
        None => Ok(opened.finish()),
    }
}

/// An opened medium before a map is laid over it.
struct Medium {
    source: Arc<dyn Source>,
    description: String,
    notes: Vec<String>,
    missing: Vec<String>,
    paths: Vec<PathBuf>,
    identities: Vec<Identity>,
}

impl Medium {
    fn finish(self) -> Opened {
        Opened {
            size: self.source.len(),
            input: Input::Volume(Volume::whole(self.source)),
            description: self.description,
            notes: self.notes,
            missing: self.missing,
            paths: self.paths,
            identities: self.identities,
            folder: None,
        }
    }
}

/// First bytes of image formats that hold a medium in a wrapped or compressed form.
const CONTAINERS: [(&[u8], &str); 3] =
    [(b"AFF10\x0d\x0a\x00", "AFF"), (b"KDMV", "VMDK"), (b"QFI\xfb", "QCOW")];

/// A wrapped image read as raw would only look like a disk without footage.
fn container_note(source: &dyn Source) -> Option<String> {
    let start = source.read(Extent::new(0, source.len().min(8))).ok()?;
    let (_, name) = CONTAINERS.iter().find(|(signature, _)| start.starts_with(signature))?;
    Some(format!(
        "begins like an {name} image; such images are not unwrapped here, the bytes are read as they are"
    ))
}

fn opened_raw(source: RawSource, note: Option<String>) -> Medium {
    let description = if source.is_block_device() { "block device" } else { "raw image" };
    let mut notes: Vec<String> = note.into_iter().chain(container_note(&source)).collect();
    let tail = source.len().checked_rem(u64::from(source.sector_bytes())).unwrap_or(0);
    if tail != 0 && source.len() > u64::from(source.sector_bytes()) {
        notes.push(format!(
            "the size is no multiple of {} bytes ({tail} left over): a single file, or an image cut in a sector",
            source.sector_bytes()
        ));
    }
    Medium {
        description: description.to_owned(),
        notes,
        missing: Vec::new(),
        paths: vec![source.path().to_owned()],
        identities: source.identity().into_iter().collect(),
        source: Arc::new(source),
    }
}

fn opened_set(set: SplitSource) -> Medium {
    let paths: Vec<PathBuf> = set.paths().map(Path::to_owned).collect();
    let description = match set.missing().len() {
        0 => format!("split raw image, {} pieces", paths.len()),
        missing => {
            let all = paths.len().saturating_add(missing);
            format!("split raw image, {} of {all} pieces", paths.len())
        }
    };
    Medium {
        description,
        notes: set.notes().to_vec(),
        missing: set.missing().to_vec(),
        paths,
        identities: set.identities().collect(),
        source: Arc::new(set),
    }
}

/// Whether a regular file begins like an EWF image; kinds that are not read count too, so that they are refused.
fn is_ewf(path: &Path) -> io::Result<bool> {
    Ok(recognise(&RawSource::open(path)?) != Recognised::No)
}

fn opened_ewf(set: EwfSet) -> Medium {
    let (present, missing) = (set.segments().len(), set.missing().to_vec());
    let segments = match (present, missing.len()) {
        (1, 0) => "1 segment".to_owned(),
        (present, 0) => format!("{present} segments"),
        (present, missing) => format!("{present} of {} segments", present.saturating_add(missing)),
    };
    let identities = set.segments().iter().filter_map(|segment| segment.identity).collect();
    Medium {
        description: format!("E01 image, {segments}, {}", set.form()),
        notes: ewf_notes(&set),
        missing,
        paths: set.segments().iter().map(|segment| segment.path.clone()).collect(),
        identities,
        source: Arc::new(EwfSource::new(Arc::new(set))),
    }
}

/// Most findings of a set that are told as notes; all are counted.
const FINDINGS_TOLD: usize = 20;

/// What a person has to know about a set.
fn ewf_notes(set: &EwfSet) -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut notes = Vec::new();
    if let Some(md5) = set.md5() {
        notes.push(format!("the image states MD5 {} of the medium", hex(&md5)));
    }
    if let Some(sha1) = set.sha1() {
        notes.push(format!("the image states SHA-1 {} of the medium", hex(&sha1)));
    }
    match set.missing() {
        [] => {}
        names if names.len() <= 8 => notes.push(format!("missing segments: {}", names.join(", "))),
        names => {
            let first = names.first().map_or("", String::as_str);
            notes.push(format!("missing: {} segments from {first}", names.len()));
        }
    }
    if set.is_end_missing() {
        notes.push(
            "the end of the set is missing: further segments, or the rest of the last one"
                .to_owned(),
        );
    }
    let errors = set.error_ranges();
    if !errors.is_empty() {
        let bytes = errors.iter().fold(0u64, |sum, range| sum.saturating_add(range.len()));
        notes.push(format!(
            "the image states {bytes} bytes in {} ranges unreadable on the medium; they are holes",
            errors.len()
        ));
    }
    let (findings, more) = set.findings();
    notes.extend(findings.iter().take(FINDINGS_TOLD).map(ToString::to_string));
    let left = u64::try_from(findings.len().saturating_sub(FINDINGS_TOLD)).unwrap_or(0);
    if left.saturating_add(more) > 0 {
        notes.push(format!("{} further findings about the image", left.saturating_add(more)));
    }
    notes
}

fn with_map(medium: Medium, path: &Path) -> Result<Opened, OpenError> {
    let map =
        RescueMap::read(path).map_err(|error| OpenError::Map { path: path.to_owned(), error })?;
    let mut medium = medium;
    let (image, mapped) = (medium.source.len(), map.len());
    if mapped != image {
        let what = if mapped > image {
            "the image ends before the medium"
        } else {
            "what lies behind the map counts as not acquired"
        };
        medium.notes.push(format!("the map covers {mapped} bytes, the image has {image}: {what}"));
    }
    if !map.is_finished() {
        medium.notes.push("the map says that the acquisition was not finished".to_owned());
    }
    let source = MappedSource::new(medium.source, map);
    let bytes = |kind| source.map().bytes_of(kind);
    let (unreadable, not_acquired) = (bytes(Hole::Unreadable), bytes(Hole::NotAcquired));
    medium.notes.push(format!(
        "the map states {unreadable} bytes unreadable and {not_acquired} bytes not acquired"
    ));
    medium.description.push_str(", with a ddrescue map");
    medium.paths.push(path.to_owned());
    medium.source = Arc::new(source);
    Ok(medium.finish())
}

fn open_folder(path: &Path, metadata: &fs::Metadata) -> io::Result<Opened> {
    let walked = tree::walk(path, tree::LIMITS)?;
    Ok(Opened {
        description: format!("folder, {} files", walked.tree.files.len()),
        input: Input::Tree(walked.tree),
        notes: walked.notes,
        missing: Vec::new(),
        paths: walked.paths,
        size: walked.bytes,
        identities: Identity::of(metadata).into_iter().collect(),
        folder: Some(path.canonicalize()?),
    })
}

/// Where a recorder file system may begin: the whole medium first, then each partition that has bytes on it and is
/// not only a container of others; with the partitions and what was odd about their tables.
pub fn volumes(source: Arc<dyn Source>) -> (Vec<Volume>, Vec<Partition>, Findings) {
    let (partitions, findings) = read_partitions(&*source);
    let mut volumes = vec![Volume::whole(Arc::clone(&source))];
    for partition in &partitions {
        let extent = partition.extent;
        let has_bytes = !extent.is_empty() && extent.offset() < source.len();
        if !partition.is_container
            && has_bytes
            && volumes.iter().all(|volume| volume.extent != extent)
        {
            volumes.push(Volume { source: Arc::clone(&source), extent });
        }
    }
    (volumes, partitions, findings)
}
