//! Reading an image again: its blocks against the list, its digests against what was written down, its files by their own digests.
//!
//! One pass serves the read-back at the end of an acquisition and `daleel verify`. Blocks are hashed on all workers; a file that has
//! changed shows as the megabytes that differ, not as one wrong digest of the whole (custody: which megabyte, docs/schemas/image.md).

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    thread,
};

use sha2::{Digest as _, Sha256};

use crate::{
    digest::{
        Algorithm, WholeHash,
        blocks::{BlockDigest, ListReader},
        hex,
    },
    ewf::chunk::Batch,
    pipeline::{BlockSink, Commit, Pass, PassError, Shared, Sink, Slab},
    stored::{Damage, StoredImage},
};

/// Most differing blocks that are named one by one.
const DIFFERING_MAX: usize = 100_000;
/// Bytes read at once where a file is hashed.
const READ_BYTES: usize = 1 << 20;

/// What to look at.
pub struct Check<'a> {
    /// The image.
    pub image: &'a StoredImage,
    /// Bytes of the medium: what the image states, without the padding of a container.
    pub media_bytes: u64,
    /// The block list to compare with.
    pub list: Option<ListReader>,
    /// Whole-medium digests to make.
    pub hashes: Vec<Algorithm>,
    /// Make the digests of the files, too.
    pub files: bool,
    /// Threads that hash blocks.
    pub workers: usize,
    /// Stop and position.
    pub shared: &'a Shared,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Whole-medium digests.
    pub digests: Vec<(Algorithm, Vec<u8>)>,
    /// The same with zeros up to a whole sector, which is what an E01 set has digests of.
    pub padded: Vec<(Algorithm, Vec<u8>)>,
    /// With what the last chunk of an E01 set holds behind the end of the medium, where it holds anything.
    pub with_surplus: Vec<(Algorithm, Vec<u8>)>,
    /// Blocks that were read.
    pub blocks: u64,
    /// Files of the block list that are not those that `groups.sha256` names.
    pub changed_groups: Vec<String>,
    /// Blocks that are not those of the list; the first ones.
    pub differing: Vec<u64>,
    /// How many in all.
    pub differing_count: u64,
    /// What the files do not give.
    pub damage: Vec<Damage>,
    /// Digest and size of each file.
    pub files: Vec<(PathBuf, u64, String)>,
}

impl Check<'_> {
    /// Reads everything.
    ///
    /// # Errors
    /// When it was stopped, or a file cannot be read at all.
    pub fn run(self) -> Result<Found, PassError> {
        let image = self.image;
        thread::scope(|scope| {
            let files = self.files.then(|| scope.spawn(|| hash_files(image.paths(), self.shared)));
            let blocks =
                Comparer { list: self.list, blocks: 0, differing: Vec::new(), differing_count: 0 };
            let pass = Pass {
                media_bytes: self.media_bytes,
                start: 0,
                feed: self.image,
                hashes: self.hashes.iter().copied().map(WholeHash::new).collect(),
                blocks,
                sinks: Vec::<Nowhere>::new(),
                encoding: None,
                workers: self.workers,
                commit: &mut |_| Ok(()),
                shared: self.shared,
            };
            let done = pass.run()?;
            let files = match files {
                Some(thread) => thread.join().map_err(|_| PassError::Thread)??,
                None => Vec::new(),
            };
            let surplus = image.ewf().and_then(|set| set.surplus().ok()).unwrap_or_default();
            let padding = self.image.bytes().saturating_sub(self.media_bytes);
            Ok(Found {
                digests: ended(&done.hashes, &[]),
                padded: ended(&done.hashes, &zeros(padding)),
                with_surplus: if surplus.is_empty() {
                    Vec::new()
                } else {
                    ended(&done.hashes, &surplus)
                },
                blocks: done.blocks.blocks,
                changed_groups: done
                    .blocks
                    .list
                    .map(|list| list.changed().to_vec())
                    .unwrap_or_default(),
                differing: done.blocks.differing,
                differing_count: done.blocks.differing_count,
                damage: self.image.damage(),
                files,
            })
        })
    }
}

/// Zeros up to a whole sector.
pub fn zeros(padding: u64) -> Vec<u8> {
    const SECTOR_MAX: u64 = 65_536;
    vec![0; usize::try_from(padding.min(SECTOR_MAX)).unwrap_or(0)]
}

/// The digests of what was hashed and these bytes behind it.
pub fn ended(hashes: &[WholeHash], behind: &[u8]) -> Vec<(Algorithm, Vec<u8>)> {
    let ended = hashes.iter().cloned().map(|mut hash| {
        hash.update(behind);
        (hash.algorithm(), hash.finish())
    });
    ended.collect()
}

/// Compares blocks with a list as they come.
struct Comparer {
    list: Option<ListReader>,
    blocks: u64,
    differing: Vec<u64>,
    differing_count: u64,
}

impl BlockSink for Comparer {
    fn push(&mut self, digest: &BlockDigest) -> io::Result<()> {
        let number = self.blocks;
        self.blocks = self.blocks.saturating_add(1);
        let Some(list) = &mut self.list else { return Ok(()) };
        let expected = list.digest(number).map_err(io::Error::other)?;
        if expected.as_ref() != Some(digest) {
            self.differing_count = self.differing_count.saturating_add(1);
            if self.differing.len() < DIFFERING_MAX {
                self.differing.push(number);
            }
        }
        Ok(())
    }

    fn blocks(&self) -> u64 {
        self.blocks
    }

    fn store(&mut self) -> io::Result<Vec<File>> {
        Ok(Vec::new())
    }
}

/// Nothing is written when an image is read again.
enum Nowhere {}

impl Sink for Nowhere {
    fn write(&mut self, _slab: &Slab, _batch: Option<&Batch>) -> io::Result<()> {
        match *self {}
    }

    fn end_group(&mut self) -> io::Result<Commit> {
        match *self {}
    }
}

/// SHA-256 and size of each file.
fn hash_files(
    paths: &[PathBuf],
    shared: &Shared,
) -> Result<Vec<(PathBuf, u64, String)>, PassError> {
    let mut buffer = vec![0; READ_BYTES];
    let mut hashed = Vec::new();
    for path in paths {
        let (bytes, digest) = hash_file(path, &mut buffer, shared)?;
        hashed.push((path.clone(), bytes, digest));
    }
    Ok(hashed)
}

fn hash_file(path: &Path, buffer: &mut [u8], shared: &Shared) -> Result<(u64, String), PassError> {
    let in_path = |error: io::Error| {
        PassError::Write(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    };
    let mut file = File::open(path).map_err(in_path)?;
    let mut hash = Sha256::new();
    let mut bytes = 0_u64;
    loop {
        if shared.is_stopping() {
            return Err(PassError::Stopped { at: bytes });
        }
        match file.read(buffer) {
            Ok(0) => return Ok((bytes, hex(&hash.finalize()))),
            Ok(length) => {
                hash.update(buffer.get(..length).unwrap_or_default());
                bytes = bytes.saturating_add(length as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(in_path(error)),
        }
    }
}
