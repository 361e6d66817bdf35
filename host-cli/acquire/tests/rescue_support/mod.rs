//! A failing disk under a stated cost model, in virtual time.
//!
//! The model: bytes come at 150 MB/s, but no command takes less than 0.2 ms; a read that does not begin where the last one ended
//! pays a seek of 10 ms, and so does every read behind a failure; a read that touches a bad sector transfers what lies before
//! it, then costs 2 s of the drive's own retries, and gives nothing.

#![allow(dead_code, reason = "every test program uses its own part")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::ControlFlow,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use daleel_acquire::{
    medium::{Medium, MediumError},
    rescue::{Clock, Event, Map, Outcome, ReadBack, Rescue, RescueError, Settings, Store},
};
use daleel_core::Extent;

/// What reads cost, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub bytes_per_second: u64,
    pub command: u64,
    pub seek: u64,
    pub failure: u64,
}

pub const COST: Cost = Cost {
    bytes_per_second: 150_000_000,
    command: 200_000,
    seek: 10_000_000,
    failure: 2_000_000_000,
};

/// Bad sectors, as extents in bytes, ascending and not touching.
#[derive(Clone, Debug, Default)]
pub struct Bad(BTreeMap<u64, u64>);

impl Bad {
    pub fn of_sectors(sectors: impl IntoIterator<Item = u64>, sector: u64) -> Self {
        let sorted: BTreeSet<u64> = sectors.into_iter().collect();
        let mut runs = BTreeMap::new();
        let mut last: Option<(u64, u64)> = None;
        for number in sorted {
            match &mut last {
                Some((_, end)) if *end == number * sector => *end += sector,
                _ => {
                    runs.extend(last);
                    last = Some((number * sector, number * sector + sector));
                }
            }
        }
        runs.extend(last);
        Self(runs)
    }

    /// The first bad byte of a read.
    pub fn first_in(&self, extent: Extent) -> Option<u64> {
        let crossing =
            self.0.range(..=extent.offset()).next_back().filter(|(_, end)| **end > extent.offset());
        if crossing.is_some() {
            return Some(extent.offset());
        }
        self.0.range(extent.offset()..extent.end()).next().map(|(start, _)| *start)
    }

    pub fn runs(&self) -> impl Iterator<Item = Extent> + '_ {
        self.0.iter().map(|(start, end)| Extent::new(*start, end - start))
    }

    pub fn bytes(&self) -> u64 {
        self.runs().map(Extent::len).sum()
    }
}

/// The time that reads take, one after the other.
#[derive(Clone, Debug)]
pub struct Head {
    cost: Cost,
    at: Option<u64>,
    pub nanoseconds: u64,
}

impl Head {
    pub fn new(cost: Cost) -> Self {
        Self { cost, at: Some(0), nanoseconds: 0 }
    }

    /// A read, given its first bad byte.
    pub fn read(&mut self, extent: Extent, bad: Option<u64>) {
        if self.at != Some(extent.offset()) {
            self.nanoseconds += self.cost.seek;
        }
        let length = bad.map_or(extent.len(), |bad| bad - extent.offset());
        let transfer = u128::from(length) * 1_000_000_000 / u128::from(self.cost.bytes_per_second);
        self.nanoseconds += u64::try_from(transfer).unwrap().max(self.cost.command);
        if bad.is_some() {
            self.nanoseconds += self.cost.failure;
        }
        self.at = bad.is_none().then(|| extent.end());
    }
}

/// One read of a trace: what was asked for, and whether it came.
pub type Traced = (Extent, bool);

/// Good bytes had, over time.
pub struct Curve(pub Vec<(u64, u64)>);

impl Curve {
    /// Replays a trace through the model. Bytes that are read again count once.
    pub fn replay(trace: &[Traced], bad: &Bad, len: u64, cost: Cost) -> Self {
        use daleel_acquire::rescue::State;
        let mut head = Head::new(cost);
        let mut had = Map::new(len);
        let mut points = vec![(0, 0)];
        for (extent, came) in trace {
            let first_bad = bad.first_in(*extent);
            assert_eq!(
                first_bad.is_none(),
                *came,
                "{extent} came otherwise than the bad sectors say"
            );
            head.read(*extent, first_bad);
            if *came {
                had.mark(*extent, State::Finished);
            }
            points.push((head.nanoseconds, had.bytes_of(State::Finished)));
        }
        Self(points)
    }

    /// Bytes that were there at a time.
    pub fn at(&self, nanoseconds: u64) -> u64 {
        let behind = self.0.partition_point(|(time, _)| *time <= nanoseconds);
        self.0[behind - 1].1
    }

    pub fn end(&self) -> u64 {
        self.0.last().unwrap().0
    }
}

/// What goes wrong with the device besides bad sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    Never,
    /// From this read on the device says that it is gone.
    Honest(u64),
    /// From this read on every read fails like a bad sector, but the device does not answer when asked for its presence.
    SeenWhenAsked(u64),
    /// From this read on every read fails like a bad sector, and the device seems to be there.
    Silent(u64),
}

/// A disk with bad sectors; its time is the model's.
pub struct Disk {
    pub len: u64,
    pub sector: u32,
    pub bad: Bad,
    pub loss: Loss,
    pub trace: Mutex<Vec<Traced>>,
    head: Mutex<Head>,
    reads: AtomicU64,
}

impl Disk {
    pub fn new(len: u64, sector: u32, bad: Bad) -> Self {
        Self {
            len,
            sector,
            bad,
            loss: Loss::Never,
            trace: Mutex::new(Vec::new()),
            head: Mutex::new(Head::new(COST)),
            reads: AtomicU64::new(0),
        }
    }

    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

/// The byte at an offset of every simulated disk.
pub fn byte_at(offset: u64) -> u8 {
    let word = (offset / 8).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
    word.to_le_bytes()[usize::try_from(offset % 8).unwrap()]
}

pub fn fill(offset: u64, buf: &mut [u8]) {
    for (byte, at) in buf.iter_mut().zip(offset..) {
        *byte = byte_at(at);
    }
}

impl Medium for Disk {
    fn len(&self) -> u64 {
        self.len
    }

    fn sector_bytes(&self) -> u32 {
        self.sector
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        let extent = Extent::new(offset, buf.len() as u64);
        assert!(offset.is_multiple_of(self.sector.into()), "{extent} does not begin at a sector");
        assert!(extent.end() <= self.len && !extent.is_empty(), "{extent} leaves the disk");
        assert!(
            extent.end() == self.len || extent.len().is_multiple_of(self.sector.into()),
            "{extent} ends within a sector"
        );
        let number = self.reads.fetch_add(1, Ordering::Relaxed);
        match self.loss {
            Loss::Honest(from) if number >= from => {
                return Err(MediumError::Lost("no such device".into()));
            }
            Loss::SeenWhenAsked(from) | Loss::Silent(from) if number >= from => {
                return Err(MediumError::Unreadable(io::Error::from_raw_os_error(5)));
            }
            _ => {}
        }
        let bad = self.bad.first_in(extent);
        self.head.lock().unwrap().read(extent, bad);
        self.trace.lock().unwrap().push((extent, bad.is_none()));
        if bad.is_some() {
            return Err(MediumError::Unreadable(io::Error::from_raw_os_error(5)));
        }
        fill(offset, buf);
        Ok(())
    }

    fn check_presence(&self) -> Result<(), MediumError> {
        match self.loss {
            Loss::SeenWhenAsked(from) if self.reads() > from => {
                Err(MediumError::Lost("another size".into()))
            }
            _ => Ok(()),
        }
    }
}

impl Clock for Disk {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.head.lock().unwrap().nanoseconds)
    }
}

/// An image in memory, of which a loss of power keeps what was synced.
#[derive(Clone, Default)]
pub struct Image(Arc<Mutex<Pages>>);

#[derive(Clone, Default)]
struct Pages {
    now: Vec<u8>,
    synced: Vec<u8>,
    dirty: Vec<Extent>,
}

impl Image {
    pub fn new(len: u64) -> Self {
        let zeros = vec![0; usize::try_from(len).unwrap()];
        Self(Arc::new(Mutex::new(Pages { now: zeros.clone(), synced: zeros, dirty: Vec::new() })))
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().now.clone()
    }

    /// What was not synced is gone.
    pub fn lose_power(&self) {
        let mut pages = self.0.lock().unwrap();
        pages.now = pages.synced.clone();
        pages.dirty.clear();
    }
}

fn range(extent: Extent) -> std::ops::Range<usize> {
    usize::try_from(extent.offset()).unwrap()..usize::try_from(extent.end()).unwrap()
}

impl Store for Image {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut pages = self.0.lock().unwrap();
        let extent = Extent::new(offset, bytes.len() as u64);
        pages.now[range(extent)].copy_from_slice(bytes);
        pages.dirty.push(extent);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let pages = &mut *self.0.lock().unwrap();
        for extent in pages.dirty.drain(..) {
            pages.synced[range(extent)].copy_from_slice(&pages.now[range(extent)]);
        }
        Ok(())
    }
}

impl ReadBack for Image {
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let pages = self.0.lock().unwrap();
        buf.copy_from_slice(&pages.now[range(Extent::new(offset, buf.len() as u64))]);
        Ok(())
    }
}

/// A store that keeps nothing, for disks larger than memory.
pub struct Nowhere;

impl Store for Nowhere {
    fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a rescue on a simulated disk; gives how it ended, the map of the last save, and the map in memory.
pub fn run(
    disk: &Disk,
    store: &mut dyn Store,
    map: Map,
    settings: &Settings,
    observe: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
) -> (Result<Outcome, RescueError>, Option<Map>, Map) {
    let mut saved = None;
    let mut rescue = Rescue::new(map, settings.clone());
    let result = rescue.run(disk, store, disk, &mut |event| {
        if let Event::Save { map } = event {
            saved = Some((*map).clone());
        }
        observe(event)
    });
    (result, saved, rescue.into_map())
}

pub fn go_on(_: &Event<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Numbers that are the same in every run (SplitMix64).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}

/// Says that a test did not run, or refuses to pass without it when the environment demands every program.
pub fn skipped(why: &str) {
    assert!(
        std::env::var_os("DALEEL_REQUIRE_ORACLES").is_none(),
        "DALEEL_REQUIRE_ORACLES is set and {why}"
    );
    eprintln!("SKIPPED: {why}");
}
