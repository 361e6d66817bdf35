//! Which files of a tree are indexes, and which of them belong together.
//!
//! Facts: `docs/formats/hikvision.md` sections 6 and 9. An index is recognised by what is in it. Names only tell which of two is the mirror, and
//! which damaged file stands where an index should be.

use std::{collections::BTreeMap, sync::Arc};

use daleel_core::{Extent, FileTree, Source, TreeFile};
use memchr::memmem;

use super::{
    index::{Copy, Sampled, shape_of},
    layout::{FILE_ENTRY_BYTES, FileEntry, HEADER_BYTES, Header},
    media::split,
    wal::DATABASE_MAGIC,
};

/// Entries of a file table that are looked at.
const TABLE_SAMPLED: u32 = 64;
/// Tables are named in the first page of a database, or in its log.
const NAMES_SEARCHED: u64 = 64 << 10;
/// The log of a database is searched so far.
const LOG_SEARCHED: u64 = 1 << 20;

/// What an index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Binary index of video segments.
    Video,
    /// Binary index of pictures.
    Pictures,
    /// HIKBTREE of a recorder that writes to a share.
    Tree,
    /// SQLite index of video segments.
    Database,
    /// SQLite index of pictures.
    PictureDatabase,
}

impl Form {
    /// The two names it has on cards and shares.
    const fn names(self) -> [&'static str; 2] {
        match self {
            Self::Video | Self::Tree => ["index00.bin", "index01.bin"],
            Self::Pictures => ["index00p.bin", "index01p.bin"],
            Self::Database => ["record_db_index00", "record_db_index01"],
            Self::PictureDatabase => ["event_db_index00", "event_db_index01"],
        }
    }
}

/// A file that is an index, and why.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its form.
    pub form: Form,
    /// For a binary index: its header.
    pub header: Option<Header>,
    /// True where its header is damaged and its file table speaks for it.
    pub is_rebuilt: bool,
    /// For a binary index: how many of its first records make sense.
    pub sampled: Sampled,
    /// For a binary index: length of one that is whole.
    pub total: u64,
    /// For a binary index: how many of the first entries of the file table have the right number, of how many.
    pub table: (u32, u32),
}

/// Recognises an index.
pub fn look_at(copy: &Copy, log: Option<&TreeFile>) -> Option<Seen> {
    let head = copy.read(0, copy.extent.len().min(64)).ok()?;
    let plain = |form| Seen {
        form,
        header: None,
        is_rebuilt: false,
        sampled: Sampled::default(),
        total: 0,
        table: (0, 0),
    };
    if head.get(0x10..0x18) == Some(b"HIKBTREE") {
        return Some(plain(Form::Tree));
    }
    if head.starts_with(DATABASE_MAGIC) {
        return database_form(copy, log).map(plain);
    }
    binary(copy, &head)
}

fn database_form(copy: &Copy, log: Option<&TreeFile>) -> Option<Form> {
    let first = copy.read(0, copy.extent.len().min(NAMES_SEARCHED)).ok()?;
    let log = log
        .and_then(|log| log.source.read(Extent::new(0, log.source.len().min(LOG_SEARCHED))).ok());
    let log = log.unwrap_or_default();
    let names =
        |name: &[u8]| memmem::find(&first, name).is_some() || memmem::find(&log, name).is_some();
    if names(b"record_segment_idx_tb") {
        Some(Form::Database)
    } else if names(b"event_segment_idx_tb") || names(b"pic_offset_0") {
        Some(Form::PictureDatabase)
    } else {
        None
    }
}

fn binary(copy: &Copy, head: &[u8]) -> Option<Seen> {
    // A cheap look first: nearly all files of a tree end here.
    let version = head.get(8..12)?;
    let (header, is_rebuilt) = if matches!(version, [2 | 3, 0, 0, 0]) {
        (copy.header().ok()?, false)
    } else {
        let first = copy.read(HEADER_BYTES, 2u64.saturating_mul(FILE_ENTRY_BYTES)).ok()?;
        let (zero, one) = first.split_at_checked(usize::try_from(FILE_ENTRY_BYTES).ok()?)?;
        let number = |entry| FileEntry::parse(entry).map(|entry| entry.number);
        if (number(zero), number(one)) != (Some(0), Some(1)) {
            return None;
        }
        (copy.rebuilt_header()?, true)
    };
    let name = copy.path.as_deref().map_or("", |path| split(path).1);
    let pictures = Form::Pictures.names().iter().any(|own| own.eq_ignore_ascii_case(name));
    let table = sample_table(copy, &header);
    let (shape, sampled) = shape_of(copy, &header, pictures);
    let (right, of) = table;
    let is_table = of > 0 && right.saturating_mul(4) >= of.saturating_mul(3);
    // File number 0 alone is four zero bytes, which says nothing.
    let is_enough = (of > 1 && !is_rebuilt) || sampled.sound > 0;
    let form = if shape.is_pictures { Form::Pictures } else { Form::Video };
    (is_table && is_enough).then(|| Seen {
        form,
        total: shape.total_bytes(header.files),
        header: Some(header),
        is_rebuilt,
        sampled,
        table,
    })
}

fn sample_table(copy: &Copy, header: &Header) -> (u32, u32) {
    let entries = header.files.min(TABLE_SAMPLED);
    let length = u64::from(entries).saturating_mul(FILE_ENTRY_BYTES);
    let Ok(bytes) = copy.read(HEADER_BYTES, length) else { return (0, entries) };
    let step = usize::try_from(FILE_ENTRY_BYTES).unwrap_or(usize::MAX);
    let right = (0u32..)
        .zip(bytes.chunks_exact(step))
        .filter(|(n, entry)| FileEntry::parse(entry).is_some_and(|entry| entry.number == *n))
        .count();
    (u32::try_from(right).unwrap_or(0), entries)
}

/// Indexes of one folder that are copies of each other.
pub struct Group {
    /// The folder.
    pub folder: String,
    /// What they are.
    pub form: Form,
    /// At most two, the first one first; one of them may be damaged.
    pub copies: Vec<Copy>,
    /// What was seen in the first that is sound.
    pub seen: Seen,
    /// Paths of further indexes of the form, which are not used.
    pub others: Vec<String>,
}

/// The indexes of a tree.
pub fn groups(tree: &FileTree) -> Vec<Group> {
    let by_path: BTreeMap<&str, &TreeFile> =
        tree.files.iter().map(|file| (file.path.as_str(), file)).collect();
    let mut found: BTreeMap<(String, Form), Vec<(TreeFile, Seen)>> = BTreeMap::new();
    for file in &tree.files {
        let log = by_path.get(format!("{}-wal", file.path).as_str()).copied();
        if let Some(seen) = look_at(&Copy::of_file(file), log) {
            let folder = split(&file.path).0.to_owned();
            found.entry((folder, seen.form)).or_default().push((file.clone(), seen));
        }
    }
    found
        .into_iter()
        .filter_map(|((folder, form), sound)| group(tree, folder, form, sound))
        .collect()
}

fn group(
    tree: &FileTree,
    folder: String,
    form: Form,
    sound: Vec<(TreeFile, Seen)>,
) -> Option<Group> {
    let (_, seen) = sound.first()?;
    let seen = seen.clone();
    let rank = |file: &TreeFile| {
        let name = split(&file.path).1;
        form.names().iter().position(|own| own.eq_ignore_ascii_case(name)).unwrap_or(usize::MAX)
    };
    let mut files: Vec<TreeFile> = sound.into_iter().map(|(file, _)| file).collect();
    files.sort_by_key(|file| (rank(file), file.path.clone()));
    // A damaged copy stands where one is expected.
    let damaged = tree.files.iter().filter(|file| {
        split(&file.path).0 == folder
            && rank(file) != usize::MAX
            && !file.source.is_empty()
            && files.iter().all(|own| own.path != file.path)
            && look_at(&Copy::of_file(file), None).is_none()
    });
    let damaged: Vec<TreeFile> = damaged.cloned().collect();
    let named = files.iter().filter(|file| rank(file) != usize::MAX).count();
    let used = if named == 0 { 1 } else { named };
    let others = files.split_off(used.min(files.len()).min(2));
    files.extend(damaged.into_iter().take(2usize.saturating_sub(files.len())));
    files.sort_by_key(|file| (rank(file), file.path.clone()));
    Some(Group {
        folder,
        form,
        copies: files.iter().map(Copy::of_file).collect(),
        seen,
        others: others.into_iter().map(|file| file.path).collect(),
    })
}

/// An index that was given alone.
pub fn single(source: &Arc<dyn Source>, extent: Extent) -> Option<(Copy, Seen)> {
    let copy = Copy { path: None, source: source.clone(), extent };
    let seen = look_at(&copy, None)?;
    Some((copy, seen))
}
