//! A folder as a tree of files.
//!
//! Regular files in all folders below, sorted by path; symbolic links are not followed and special files are left
//! out, both counted in the notes. Files are opened when they are read; the handles used last stay open
//! ([`FilePool`]).

use std::{
    ffi::OsStr,
    fs::{self, DirEntry},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use daleel_core::{FileTree, TreeFile};

use crate::files::{FilePool, PooledFile};

/// How much of a folder is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most files.
    pub(crate) files: usize,
    /// Most directory entries looked at.
    pub(crate) entries: usize,
    /// Most folders inside each other.
    pub(crate) depth: usize,
}

/// A recorder's disk holds tens of thousands of files, at most four folders deep.
pub(crate) const LIMITS: Limits = Limits { files: 1_000_000, entries: 4_000_000, depth: 64 };

/// Most examples named in one note.
const EXAMPLES: usize = 5;

/// A tree, where its files are, and what a person has to know about it.
pub(crate) struct Walked {
    pub(crate) tree: FileTree,
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) bytes: u64,
    pub(crate) notes: Vec<String>,
}

/// Lists a folder.
///
/// # Errors
/// When the folder itself cannot be read. Folders below that cannot be read are notes.
pub(crate) fn walk(root: &Path, limits: Limits) -> io::Result<Walked> {
    let mut walker = Walker { limits, ..Walker::new() };
    let mut folders = vec![Folder { path: root.to_owned(), name: String::new(), depth: 0 }];
    while let Some(folder) = folders.pop() {
        match walker.entries(&folder) {
            Ok(entries) => {
                for entry in entries {
                    folders.extend(walker.add(&folder, &entry));
                }
            }
            Err(error) if folder.depth == 0 => return Err(error),
            Err(error) => walker.unreadable.add(format!("{}: {error}", folder.name)),
        }
        if walker.is_full() {
            break;
        }
    }
    Ok(walker.finish())
}

struct Folder {
    path: PathBuf,
    /// Path inside the tree, with `/`; empty for the root.
    name: String,
    depth: usize,
}

struct Walker {
    limits: Limits,
    pool: Arc<FilePool>,
    files: Vec<(String, PooledFile)>,
    seen: usize,
    links: Counted,
    special: Counted,
    unreadable: Counted,
    too_deep: Counted,
}

impl Walker {
    fn new() -> Self {
        Self {
            limits: LIMITS,
            pool: Arc::default(),
            files: Vec::new(),
            seen: 0,
            links: Counted::default(),
            special: Counted::default(),
            unreadable: Counted::default(),
            too_deep: Counted::default(),
        }
    }

    fn is_full(&self) -> bool {
        self.files.len() >= self.limits.files || self.seen >= self.limits.entries
    }

    /// The entries of a folder in the order of their names, so that a cut tree is cut at the same place every time.
    fn entries(&mut self, folder: &Folder) -> io::Result<Vec<DirEntry>> {
        let left = self.limits.entries.saturating_sub(self.seen);
        let mut entries = Vec::new();
        for entry in fs::read_dir(&folder.path)?.take(left) {
            match entry {
                Ok(entry) => entries.push(entry),
                Err(error) => self.unreadable.add(format!("in {}: {error}", folder.name)),
            }
        }
        self.seen = self.seen.saturating_add(entries.len());
        entries.sort_by_key(DirEntry::file_name);
        Ok(entries)
    }

    /// Adds a file, or gives back a folder to walk into.
    fn add(&mut self, folder: &Folder, entry: &DirEntry) -> Option<Folder> {
        let own = shown_name(&entry.file_name());
        let name = if folder.name.is_empty() { own } else { format!("{}/{own}", folder.name) };
        // Metadata of the entry itself: a link is not followed.
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) => {
                self.unreadable.add(format!("{name}: {error}"));
                return None;
            }
        };
        let kind = metadata.file_type();
        if kind.is_dir() {
            let depth = folder.depth.saturating_add(1);
            if depth <= self.limits.depth {
                return Some(Folder { path: entry.path(), name, depth });
            }
            self.too_deep.add(name);
        } else if kind.is_symlink() {
            self.links.add(name);
        } else if !kind.is_file() {
            self.special.add(name);
        } else if self.files.len() < self.limits.files {
            self.files.push((name, PooledFile::new(&self.pool, entry.path(), &metadata)));
        }
        None
    }

    fn finish(mut self) -> Walked {
        let mut notes = Vec::new();
        if self.is_full() {
            notes.push(format!(
                "the folder has more entries than are taken; the list stops after {} files",
                self.files.len()
            ));
        }
        notes.extend(self.links.note("symbolic links are not followed"));
        notes.extend(self.special.note("special files (devices, pipes, sockets) are left out"));
        notes.extend(self.too_deep.note("folders lie too deep and are left out"));
        notes.extend(self.unreadable.note("entries could not be read"));
        self.files.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut walked = Walked { tree: FileTree::default(), paths: Vec::new(), bytes: 0, notes };
        for (path, file) in self.files {
            walked.paths.push(file.path().to_owned());
            let source: Arc<dyn daleel_core::Source> = Arc::new(file);
            walked.bytes = walked.bytes.saturating_add(source.len());
            walked.tree.files.push(TreeFile { path, source });
        }
        walked
    }
}

/// Things of one kind that were left out: their number and the first few.
#[derive(Default)]
struct Counted {
    number: usize,
    examples: Vec<String>,
}

impl Counted {
    fn add(&mut self, example: String) {
        self.number = self.number.saturating_add(1);
        if self.examples.len() < EXAMPLES {
            self.examples.push(example);
        }
    }

    fn note(&mut self, what: &str) -> Option<String> {
        self.examples.sort_unstable();
        let examples = self.examples.join(", ");
        (self.number > 0).then(|| {
            let rest = if self.number > self.examples.len() { ", ..." } else { "" };
            format!("{} {what}: {examples}{rest}", self.number)
        })
    }
}

/// A file name as text: bytes that are no UTF-8 become `\xNN`, so that different names stay different.
fn shown_name(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_of(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, file).unwrap();
        }
        folder
    }

    #[test]
    fn files_are_sorted_by_path_and_read_when_asked() {
        let folder = folder_of(&["b/2.dav", "a.dav", "b.dav", "b/1/x.dav"]);
        let walked = walk(folder.path(), LIMITS).unwrap();
        let names: Vec<_> = walked.tree.files.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(names, ["a.dav", "b.dav", "b/1/x.dav", "b/2.dav"]);
        for file in &walked.tree.files {
            let bytes = file.source.read(daleel_core::Extent::new(0, file.source.len())).unwrap();
            assert_eq!(bytes, file.path.as_bytes());
        }
        assert_eq!(walked.bytes, 5 + 5 + 9 + 7);
        assert!(walked.notes.is_empty());
        assert_eq!(walked.paths[0], folder.path().join("a.dav"));
    }

    #[cfg(unix)]
    #[test]
    fn links_and_special_files_are_counted_not_followed() {
        let folder = folder_of(&["real/a.dav"]);
        std::os::unix::fs::symlink("..", folder.path().join("real/up")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        let walked = walk(folder.path(), LIMITS).unwrap();
        assert_eq!(walked.tree.files.len(), 1);
        assert!(walked.notes[0].starts_with("1 symbolic links"), "{:?}", walked.notes);
        assert!(walked.notes[1].starts_with("1 special files"), "{:?}", walked.notes);
    }

    #[test]
    fn a_cut_tree_says_so() {
        let folder = folder_of(&["a", "b", "c/d", "c/e/f"]);
        let walked = walk(folder.path(), Limits { files: 2, ..LIMITS }).unwrap();
        assert_eq!(walked.tree.files.len(), 2);
        assert!(walked.notes[0].contains("stops after 2 files"));
        let walked = walk(folder.path(), Limits { depth: 1, ..LIMITS }).unwrap();
        assert_eq!(walked.tree.files.len(), 3);
        assert!(walked.notes[0].contains("c/e"), "{:?}", walked.notes);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn names_without_utf8_stay_different() {
        use std::os::unix::ffi::OsStrExt;
        let names = [b"a\xff".as_slice(), b"a\xfe"].map(|n| shown_name(OsStr::from_bytes(n)));
        assert_eq!(names, ["a\\xff", "a\\xfe"]);
    }
}
