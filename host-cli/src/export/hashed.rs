//! A file that is hashed and written while its content is made, on two threads of its own: hashing is what takes longest, and must not
//! wait for the disk.
//!
//! Nothing is patched after it was written, so the digest is that of the file. Memory is bounded by the blocks in flight.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{Builder, JoinHandle},
};

pub use daleel_acquire::digest::hex;
use daleel_media::Output;
use sha2::{Digest, Sha256};

/// Bytes of a block handed on.
const BLOCK_BYTES: usize = 256 << 10;
/// Blocks in flight between two stages.
const BLOCKS: usize = 24;

/// SHA-256 and length of a finished file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Digested {
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// The threads behind a file.
#[derive(Debug)]
struct Stages {
    hash: JoinHandle<Digested>,
    write: JoinHandle<io::Result<()>>,
}

/// A new file being written.
#[derive(Debug)]
pub struct HashedFile {
    block: Vec<u8>,
    full: Option<SyncSender<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
    stages: Option<Stages>,
}

impl HashedFile {
    /// Makes a new file; an existing one is not overwritten.
    ///
    /// # Errors
    /// When the file exists or cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::create_new(path)?;
        let (full, take) = sync_channel::<Vec<u8>>(BLOCKS);
        let (hashed, take_hashed) = sync_channel::<Vec<u8>>(BLOCKS);
        let (give, empty) = sync_channel::<Vec<u8>>(BLOCKS.saturating_mul(2));
        let hash =
            Builder::new().name("hash".to_owned()).spawn(move || hash_all(&take, &hashed))?;
        let write = Builder::new()
            .name("write".to_owned())
            .spawn(move || write_all(file, &take_hashed, &give))?;
        let stages = Some(Stages { hash, write });
        Ok(Self { block: Vec::new(), full: Some(full), empty, stages })
    }

    /// Writes what is left and gives the digest.
    ///
    /// # Errors
    /// When the destination failed at any time.
    pub fn finish(mut self) -> io::Result<Digested> {
        self.send()?;
        self.join()
    }

    fn send(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let next = self.empty.try_recv().unwrap_or_default();
        let block = std::mem::replace(&mut self.block, next);
        if self.full.as_ref().is_some_and(|full| full.send(block).is_ok()) {
            return Ok(());
        }
        // The stages end early only with an error.
        match self.join() {
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::other("the writing thread ended")),
        }
    }

    fn join(&mut self) -> io::Result<Digested> {
        self.full = None;
        let stages =
            self.stages.take().ok_or_else(|| io::Error::other("the file failed before"))?;
        let failed = || io::Error::other("a writing thread failed");
        let digested = stages.hash.join().map_err(|_| failed())?;
        stages.write.join().map_err(|_| failed())??;
        Ok(digested)
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.len() >= BLOCK_BYTES {
            self.send()?;
        }
        if self.block.capacity() == 0 {
            self.block.reserve_exact(BLOCK_BYTES);
        }
        let room = BLOCK_BYTES.saturating_sub(self.block.len());
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or(bytes);
        self.block.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for HashedFile {
    fn write_block(&mut self, block: Vec<u8>) -> io::Result<Vec<u8>> {
        self.send()?;
        let next = std::mem::replace(&mut self.block, block);
        self.send()?;
        Ok(next)
    }
}

impl Drop for HashedFile {
    fn drop(&mut self) {
        // An abandoned file: its threads must not outlive its folder.
        if self.stages.is_some() {
            let _ = self.join();
        }
    }
}

fn hash_all(take: &Receiver<Vec<u8>>, hashed: &SyncSender<Vec<u8>>) -> Digested {
    let mut hash = Sha256::new();
    let mut bytes = 0u64;
    for block in take {
        hash.update(&block);
        bytes = bytes.saturating_add(block.len() as u64);
        // The writing stage ended with an error, which `join` reports.
        if hashed.send(block).is_err() {
            break;
        }
    }
    Digested { sha256: hex(&hash.finalize()), bytes }
}

fn write_all(
    mut file: File,
    take: &Receiver<Vec<u8>>,
    give: &SyncSender<Vec<u8>>,
) -> io::Result<()> {
    for mut block in take {
        file.write_all(&block)?;
        block.clear();
        // Nobody needs the block any more when the file is complete.
        let _ = give.try_send(block);
    }
    file.flush()
}
