//! The threads of a pass.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    sync::{Arc, atomic::Ordering},
    thread,
};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{
    BlockSink, Checkpoint, Commit, Done, Encoding, Feed, GROUP_BYTES, Pass, PassError, SLAB_BYTES,
    SLABS, Shared, SharedSlab, Sink, Slab,
};
use crate::{
    digest::{
        Algorithm, WholeHash,
        blocks::{BLOCK_BYTES, BlockDigest, block_digest},
    },
    ewf::{
        chunk::{Batch, Encoder},
        is_zero,
    },
    medium::Buffer,
};

/// A slab that a worker is done with.
struct Worked {
    slab: SharedSlab,
    blocks: Vec<BlockDigest>,
    batch: Option<Batch>,
}

/// A group that is written and not yet durable.
struct Group {
    position: u64,
    blocks: u64,
    sinks: Vec<Commit>,
    lists: Vec<File>,
}

/// A digest's state at the end of a group.
type KeptState = (Algorithm, String);

pub(super) fn run<B: BlockSink, S: Sink>(pass: Pass<'_, B, S>) -> Result<Done<B, S>, PassError> {
    let Pass { media_bytes, start, feed, hashes, blocks, sinks, encoding, workers, commit, shared } =
        pass;
    shared.position.store(start, Ordering::Relaxed);
    thread::scope(|scope| {
        let (work, take_work) = bounded::<SharedSlab>(SLABS);
        let mut receivers = vec![work];
        let mut states = Vec::new();
        let mut hashing = Vec::new();
        for hash in hashes {
            let (give, take) = bounded::<SharedSlab>(SLABS);
            // As many as there can be groups between the reader and the committer, and one more.
            let (state, take_state) = bounded::<KeptState>(4);
            receivers.push(give);
            states.push(take_state);
            hashing.push(scope.spawn(move || hash_all(hash, &take, &state, media_bytes)));
        }
        let (worked, take_worked) = bounded::<Worked>(SLABS);
        let (used, take_used) = bounded::<Batch>(SLABS);
        for _ in 0..workers.max(1) {
            let (take, give, reuse) = (take_work.clone(), worked.clone(), take_used.clone());
            let encoding = encoding.as_ref();
            scope.spawn(move || work_on_all(encoding, &take, &give, &reuse));
        }
        // The channels end when the last worker does.
        drop((take_work, worked, take_used));
        let (groups, take_groups) = bounded::<Group>(0);
        let committing = scope.spawn(move || commit_all(&take_groups, &states, commit));
        let writer = Writer { blocks, sinks, used, groups, media_bytes, shared };
        let writing = scope.spawn(move || writer.run(&take_worked));
        let read = read_all(feed, media_bytes, start, shared, &receivers);
        drop(receivers);

        let hashes: Option<Vec<_>> = hashing.into_iter().map(|thread| thread.join().ok()).collect();
        let written = writing.join().map_err(|_| PassError::Thread)?;
        let committed = committing.join().map_err(|_| PassError::Thread)?;
        // What the reader met is the cause; that the others ran dry is the effect. But a reader that nobody listened to
        // was stopped by them.
        committed?;
        let (blocks, sinks) = written?;
        read?;
        if shared.position.load(Ordering::Relaxed) < media_bytes {
            return Err(PassError::Thread);
        }
        Ok(Done { hashes: hashes.ok_or(PassError::Thread)?, blocks, sinks })
    })
}

/// Reads the medium in order and hands each slab to everybody.
fn read_all(
    feed: &dyn Feed,
    media_bytes: u64,
    start: u64,
    shared: &Shared,
    receivers: &[Sender<SharedSlab>],
) -> Result<(), PassError> {
    let (home, free) = bounded::<Buffer>(SLABS);
    let mut made = 0_usize;
    let mut offset = start;
    for index in 0_u64.. {
        let left = media_bytes.saturating_sub(offset);
        if left == 0 {
            return Ok(());
        }
        if shared.is_stopping() {
            return Err(PassError::Stopped { at: offset });
        }
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(SLAB_BYTES);
        if feed.is_void(offset, length as u64) {
            let slab = Arc::new(Slab { index, offset, buffer: None, length, home: home.clone() });
            offset = slab.end();
            hand_out(&slab, receivers)?;
            continue;
        }
        let mut buffer = match free.try_recv() {
            Ok(buffer) => buffer,
            Err(_) if made < SLABS => {
                made = made.saturating_add(1);
                Buffer::new(SLAB_BYTES)
            }
            Err(_) => free.recv().map_err(|_| PassError::Thread)?,
        };
        let (target, behind) = buffer.split_at_mut(length.min(SLAB_BYTES));
        if length < SLAB_BYTES {
            behind.fill(0);
        }
        feed.fill(offset, target).map_err(|error| PassError::Medium { at: offset, error })?;
        let slab =
            Arc::new(Slab { index, offset, buffer: Some(buffer), length, home: home.clone() });
        offset = slab.end();
        hand_out(&slab, receivers)?;
    }
    Ok(())
}

/// Gives a slab to every stage. One that ended has an error of its own, which is told in place of this one.
fn hand_out(slab: &SharedSlab, receivers: &[Sender<SharedSlab>]) -> Result<(), PassError> {
    let mut given = receivers.iter().map(|receiver| receiver.send(slab.clone()));
    given.try_for_each(|given| given.map_err(|_| PassError::Thread))
}

/// True where a checkpoint is due. The end of the medium is none: the digests are ended there.
fn ends_group(position: u64, media_bytes: u64) -> bool {
    position.is_multiple_of(GROUP_BYTES) && position < media_bytes
}

fn hash_all(
    mut hash: WholeHash,
    slabs: &Receiver<SharedSlab>,
    states: &Sender<KeptState>,
    media_bytes: u64,
) -> WholeHash {
    let algorithm = hash.algorithm();
    for slab in slabs {
        hash.update(slab.bytes());
        if ends_group(slab.end(), media_bytes) && states.send((algorithm, hash.keep())).is_err() {
            break;
        }
    }
    hash
}

fn work_on_all(
    encoding: Option<&Encoding>,
    slabs: &Receiver<SharedSlab>,
    done: &Sender<Worked>,
    used: &Receiver<Batch>,
) {
    let mut worker = Worker::new(encoding);
    for slab in slabs {
        let mut batch = encoding.map(|_| used.try_recv().unwrap_or_default());
        let blocks = worker.digests(&slab);
        if let Some(batch) = &mut batch {
            worker.encode(&slab, batch);
        }
        if done.send(Worked { slab, blocks, batch }).is_err() {
            return;
        }
    }
}

/// What a working thread keeps.
struct Worker {
    encoder: Option<(Encoder, u32)>,
    /// Digest of a block of zeros: on a disk that is half empty every other block is one.
    zero: BlockDigest,
    /// A slab of zeros, encoded.
    void: Option<Batch>,
}

impl Worker {
    fn new(encoding: Option<&Encoding>) -> Self {
        let encoder = encoding.map(|encoding| {
            (Encoder::new(encoding.compression, &encoding.plan), encoding.plan.sector_bytes())
        });
        Self { encoder, zero: block_digest(&vec![0; block_length()]), void: None }
    }

    fn digests(&self, slab: &Slab) -> Vec<BlockDigest> {
        let length = block_length();
        let digest = |block: &[u8]| {
            let is_zero = block.len() == length && (slab.is_void() || is_zero(block));
            if is_zero { self.zero } else { block_digest(block) }
        };
        slab.bytes().chunks(length).map(digest).collect()
    }

    fn encode(&mut self, slab: &Slab, batch: &mut Batch) {
        let Some((encoder, sector_bytes)) = &mut self.encoder else { return };
        if !slab.is_void() {
            encoder.encode(slab.padded(*sector_bytes), batch);
            return;
        }
        let void = self.void.get_or_insert_with(|| {
            let mut void = Batch::default();
            encoder.encode(slab.bytes(), &mut void);
            void
        });
        batch.clone_from(void);
    }
}

fn block_length() -> usize {
    usize::try_from(BLOCK_BYTES).unwrap_or(usize::MAX)
}

struct Writer<'s, B, S> {
    blocks: B,
    sinks: Vec<S>,
    used: Sender<Batch>,
    groups: Sender<Group>,
    media_bytes: u64,
    shared: &'s Shared,
}

impl<B: BlockSink, S: Sink> Writer<'_, B, S> {
    /// Writes in the order of the medium what comes in the order of the workers.
    fn run(mut self, worked: &Receiver<Worked>) -> io::Result<(B, Vec<S>)> {
        let mut waiting = BTreeMap::new();
        let mut next = 0_u64;
        for one in worked {
            waiting.insert(one.slab.index, one);
            while let Some(one) = waiting.remove(&next) {
                next = next.saturating_add(1);
                let position = one.slab.end();
                self.write(one)?;
                self.shared.position.store(position, Ordering::Relaxed);
                if ends_group(position, self.media_bytes) && !self.end_group(position)? {
                    return Ok((self.blocks, self.sinks));
                }
            }
        }
        Ok((self.blocks, self.sinks))
    }

    fn write(&mut self, one: Worked) -> io::Result<()> {
        for sink in &mut self.sinks {
            sink.write(&one.slab, one.batch.as_ref())?;
        }
        for digest in &one.blocks {
            self.blocks.push(digest)?;
        }
        if let Some(mut batch) = one.batch {
            batch.clear();
            // A worker that has none makes one.
            let _ = self.used.try_send(batch);
        }
        Ok(())
    }

    /// Hands a group on to be made durable; waits while the one before still is. False when the committer ended.
    fn end_group(&mut self, position: u64) -> io::Result<bool> {
        let sinks = self.sinks.iter_mut().map(Sink::end_group).collect::<Result<_, _>>()?;
        let lists = self.blocks.store()?;
        let group = Group { position, blocks: self.blocks.blocks(), sinks, lists };
        Ok(self.groups.send(group).is_ok())
    }
}

/// Syncs what a group consists of, then lets the checkpoint say so.
fn commit_all(
    groups: &Receiver<Group>,
    states: &[Receiver<KeptState>],
    commit: &mut (dyn FnMut(&Checkpoint) -> io::Result<()> + Send),
) -> io::Result<()> {
    for group in groups {
        let hashes: Result<Vec<_>, _> = states.iter().map(|states| states.recv()).collect();
        // A digest's thread ended before the group did: the pass is over, and the last checkpoint holds.
        let Ok(hashes) = hashes else { return Ok(()) };
        for file in group.sinks.iter().flat_map(|sink| &sink.files).chain(&group.lists) {
            file.sync_data()?;
        }
        let sinks = group.sinks.into_iter().map(|sink| sink.state).collect();
        commit(&Checkpoint { position: group.position, hashes, blocks: group.blocks, sinks })?;
    }
    Ok(())
}
