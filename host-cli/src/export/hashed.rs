//! A file that is hashed while it is written, on a thread of its own.
//!
//! Nothing is patched after it was written, so the digest is that of the file. Memory is bounded by the blocks in flight.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
};

use sha2::{Digest, Sha256};

/// Bytes of a block handed to the thread.
const BLOCK_BYTES: usize = 1 << 20;
/// Blocks in flight.
const BLOCKS: usize = 8;

/// SHA-256 and length of a finished file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Digested {
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// A new file being written.
#[derive(Debug)]
pub struct HashedFile {
    block: Vec<u8>,
    full: Option<SyncSender<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
    worker: Option<JoinHandle<io::Result<Digested>>>,
}

impl HashedFile {
    /// Makes a new file; an existing one is not overwritten.
    ///
    /// # Errors
    /// When the file exists or cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::create_new(path)?;
        let (full, take) = sync_channel::<Vec<u8>>(BLOCKS);
        let (give, empty) = sync_channel::<Vec<u8>>(BLOCKS);
        let worker = std::thread::Builder::new()
            .name("write and hash".to_owned())
            .spawn(move || write_all(file, &take, &give))?;
        Ok(Self {
            block: Vec::with_capacity(BLOCK_BYTES),
            full: Some(full),
            empty,
            worker: Some(worker),
        })
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
        let next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(BLOCK_BYTES));
        let block = std::mem::replace(&mut self.block, next);
        let sent = self.full.as_ref().is_some_and(|full| full.send(block).is_ok());
        if sent {
            return Ok(());
        }
        // The thread ends early only with an error.
        match self.join() {
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::other("the writing thread ended")),
        }
    }

    fn join(&mut self) -> io::Result<Digested> {
        self.full = None;
        let worker =
            self.worker.take().ok_or_else(|| io::Error::other("the file failed before"))?;
        worker.join().map_err(|_| io::Error::other("the writing thread failed"))?
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.len() >= BLOCK_BYTES {
            self.send()?;
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

impl Drop for HashedFile {
    fn drop(&mut self) {
        // An abandoned file: the thread must not outlive its folder.
        if self.worker.is_some() {
            let _ = self.join();
        }
    }
}

fn write_all(
    mut file: File,
    take: &Receiver<Vec<u8>>,
    give: &SyncSender<Vec<u8>>,
) -> io::Result<Digested> {
    let mut hash = Sha256::new();
    let mut bytes = 0u64;
    for mut block in take {
        hash.update(&block);
        file.write_all(&block)?;
        bytes = bytes.saturating_add(block.len() as u64);
        block.clear();
        // Nobody needs the block any more when the writer is gone.
        let _ = give.try_send(block);
    }
    file.flush()?;
    Ok(Digested { sha256: hex(&hash.finalize()), bytes })
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
