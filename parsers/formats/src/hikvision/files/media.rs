//! The media files of one folder: `hivNNNNN.mp4` with video, `hivNNNNN.pic` with pictures.
//!
//! Facts: `docs/formats/hikvision.md` section 9. An index names its files by number only, so here the name is all there is to go by; what is in
//! them is looked at when they are read.

use std::{collections::BTreeMap, ops::Range};

use daleel_core::{Extent, FileTree, FormatError, TreeFile};

/// What a media file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Program stream.
    Video,
    /// JPEG pictures.
    Pictures,
}

impl Kind {
    const fn extension(self) -> &'static str {
        match self {
            Self::Video => "mp4",
            Self::Pictures => "pic",
        }
    }
}

/// Media files of a folder.
#[derive(Clone, Default)]
pub struct Media {
    /// Folder inside the tree, without a slash at the end; empty for its root.
    folder: String,
    files: BTreeMap<(Kind, u32), TreeFile>,
    /// False where an index was given without its folder.
    is_there: bool,
}

impl Media {
    /// The media files of a folder of the tree.
    pub fn of_folder(tree: &FileTree, folder: &str) -> Self {
        let own = tree.files.iter().filter(|file| split(&file.path).0 == folder);
        let files =
            own.filter_map(|file| Some((number_of(split(&file.path).1)?, file.clone()))).collect();
        Self { folder: folder.to_owned(), files, is_there: true }
    }

    /// True where the folder was given too.
    pub fn is_there(&self) -> bool {
        self.is_there
    }

    /// A file by its number.
    pub fn get(&self, kind: Kind, number: u32) -> Option<&TreeFile> {
        self.files.get(&(kind, number))
    }

    /// Numbers of the files that are there.
    pub fn numbers(&self, kind: Kind) -> impl Iterator<Item = u32> + '_ {
        self.files.keys().filter(move |(found, _)| *found == kind).map(|(_, number)| *number)
    }

    /// The file that a path names.
    pub fn by_path(&self, path: &str) -> Option<(Kind, u32, &TreeFile)> {
        let found = self.files.iter().find(|(_, file)| file.path == path);
        found.map(|((kind, number), file)| (*kind, *number, file))
    }

    /// The path a file has, or would have.
    pub fn path(&self, kind: Kind, number: u32) -> String {
        let usual = || {
            let slash = if self.folder.is_empty() { "" } else { "/" };
            format!("{}{slash}hiv{number:05}.{}", self.folder, kind.extension())
        };
        self.get(kind, number).map_or_else(usual, |file| file.path.clone())
    }

    /// The part of a byte range that a file has; the whole range where the file is not there to ask.
    pub fn clip(&self, kind: Kind, number: u32, range: Range<u64>) -> Range<u64> {
        let length = self.get(kind, number).map_or(u64::MAX, |file| file.source.len());
        range.start.min(length)..range.end.min(length)
    }

    /// A file that is about to be read.
    ///
    /// # Errors
    /// When it is not there; `at` is the index entry that names it.
    pub fn need(
        &self,
        kind: Kind,
        number: u32,
        structure: &'static str,
        at: Extent,
    ) -> Result<&TreeFile, FormatError> {
        self.get(kind, number).ok_or_else(|| {
            let path = self.path(kind, number);
            let found = if self.is_there {
                format!("{path}, which is not in the folder")
            } else {
                format!("{path}; only the index was given, not its folder")
            };
            FormatError::field(structure, at, "media file", found, "a file that is there")
        })
    }
}

/// Folder and name of a path in a tree.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Kind and number of a media file by its name; cards are FAT, so case says nothing.
pub fn number_of(name: &str) -> Option<(Kind, u32)> {
    let name = name.to_ascii_lowercase();
    let (stem, extension) = name.strip_prefix("hiv")?.split_once('.')?;
    let kind =
        [Kind::Video, Kind::Pictures].into_iter().find(|kind| kind.extension() == extension)?;
    let digits = (5..=9).contains(&stem.len()) && stem.bytes().all(|byte| byte.is_ascii_digit());
    Some((kind, stem.parse().ok().filter(|_| digits)?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn names_give_kind_and_number() {
        assert_eq!(number_of("hiv00042.mp4"), Some((Kind::Video, 42)));
        assert_eq!(number_of("HIV100000.PIC"), Some((Kind::Pictures, 100_000)));
        for name in
            ["hiv42.mp4", "hiv0004x.mp4", "hiv00042.avi", "hiv00042", "index00.bin", "hiv+0042.mp4"]
        {
            assert_eq!(number_of(name), None, "{name}");
        }
    }

    #[test]
    fn an_index_has_the_files_of_its_own_folder() {
        let file =
            |path: &str| TreeFile { path: path.to_owned(), source: Arc::new(vec![0u8; 100]) };
        let tree = FileTree {
            files: vec![file("a/hiv00001.mp4"), file("a/b/hiv00002.mp4"), file("hiv00003.mp4")],
        };
        let media = Media::of_folder(&tree, "a");
        assert_eq!(media.numbers(Kind::Video).collect::<Vec<_>>(), [1]);
        assert_eq!(media.path(Kind::Video, 7), "a/hiv00007.mp4");
        assert_eq!(media.clip(Kind::Video, 1, 50..200), 50..100);
        let error = media.need(Kind::Video, 7, "segment record", Extent::new(0, 80)).err().unwrap();
        assert!(error.to_string().contains("a/hiv00007.mp4"), "{error}");
    }
}
