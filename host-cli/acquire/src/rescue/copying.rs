//! The copying phase: everything not tried yet, the most bytes for the fewest failures first.
//!
//! A failed read costs as much time as hundreds of megabytes of good ones, so what counts is how likely the next read fails.
//! 1: forwards, skipping ahead behind every failure; a widely damaged stretch is left until the rest was read. 2: what was
//! skipped, backwards, until a read of it fails. 3: what is left, the longest stretch first, very long ones from their middle
//! (bisection). Facts: GNU ddrescue manual 1.27, chapter "Algorithm", whose order of passes this is.
//!
//! Where failures are frequent a cluster is read sector by sector: that takes 25 ms, gives what lies before the first bad sector,
//! and finds that sector, where one read of the whole cluster would give nothing and find nothing for the same failure. The rest
//! of such a cluster is left to trimming.

use std::collections::BinaryHeap;

use daleel_core::Extent;

use super::{
    engine::Phase,
    map::{State, between},
    reader::{Got, Reader, Stop, align_down},
    skip::Skip,
};

/// Bytes above which a stretch between failures is bisected.
const BISECT: u64 = 8 << 20;
/// Going backwards, a seek is paid for every stretch that is read at once; it grows with the good bytes found so far.
const STRETCH_PART: u64 = 64;
const STRETCH_CLUSTERS: u64 = 16;

/// Copies what was not tried in `domain`.
pub(super) fn copy(reader: &mut Reader<'_>, domain: Extent) -> Result<(), Stop> {
    let begins = resume_at(reader, domain);
    let is_open = |reader: &Reader<'_>| reader.map().next(State::NonTried, 0, domain).is_some();
    if is_open(reader) {
        reader.begin(Phase::Copying, 1, domain)?;
        skip_ahead(reader, domain, begins)?;
    }
    if is_open(reader) {
        reader.begin(Phase::Copying, 2, domain)?;
        delimit(reader, domain)?;
    }
    if is_open(reader) {
        reader.begin(Phase::Copying, 3, domain)?;
        longest_first(reader, domain)?;
    }
    Ok(())
}

/// Where the first pass goes on: what lies before the position of an interrupted first pass was skipped on purpose.
fn resume_at(reader: &Reader<'_>, domain: Extent) -> u64 {
    let status = reader.map().status;
    let resumes = status.status == Phase::Copying.symbol() && status.pass <= 1;
    if resumes && domain.contains(status.position) {
        align_down(status.position, reader.pace.cluster()).max(domain.offset())
    } else {
        domain.offset()
    }
}

fn skip_ahead(reader: &mut Reader<'_>, domain: Extent, begins: u64) -> Result<(), Stop> {
    let (cluster, medium) = (reader.pace.cluster(), reader.map().len());
    let from = between(begins, domain.end());
    let later = skip_through(reader, from, Skip::new(cluster, medium, true))?;
    for stretch in &later {
        sound_end(reader, *stretch)?;
    }
    for stretch in later {
        skip_through(reader, stretch, Skip::new(cluster, medium, false))?;
    }
    Ok(())
}

/// A stretch that was left ends somewhere in what is sound again.
fn sound_end(reader: &mut Reader<'_>, stretch: Extent) -> Result<(), Stop> {
    while let Some(gap) = reader.map().previous(State::NonTried, stretch.end(), stretch) {
        halves(reader, gap)?;
        let is_open = reader.map().next(State::NonTried, gap.offset(), gap).is_some();
        if is_open || reader.pass_is_over() || !is_good(reader, gap.offset()) {
            break;
        }
    }
    Ok(())
}

/// Reads forwards with jumps; gives what was left for later.
fn skip_through(reader: &mut Reader<'_>, domain: Extent, skip: Skip) -> Result<Vec<Extent>, Stop> {
    let (mut skip, mut at, mut near) = (skip, domain.offset(), 0u64);
    while let Some(gap) = reader.map().next(State::NonTried, at, domain) {
        if reader.pass_is_over() {
            break;
        }
        // Before failures crowd, what follows is likely the rest of a sound disk, and a cluster at once is fastest.
        let (piece, got) = read_next(reader, gap, skip.is_crowded().then_some(near))?;
        near = near.saturating_add(1);
        at = match got {
            Got::Good => {
                skip.good(piece.len());
                piece.end()
            }
            Got::Slow | Got::Bad => {
                near = 0;
                skip.failed(piece.len(), piece.end(), domain.end())
            }
            Got::TooLarge => piece.offset(),
        };
    }
    Ok(skip.into_later())
}

/// The first bytes of `gap`, up to a multiple of `unit`.
fn first_piece(gap: Extent, unit: u64) -> Extent {
    let end = align_down(gap.offset(), unit).saturating_add(unit);
    between(gap.offset(), end.min(gap.end()))
}

/// Reads the first cluster of `gap` in the way that promises most. `near` counts the good clusters between it and a failure; without
/// it the cluster is read at once.
fn read_next(
    reader: &mut Reader<'_>,
    gap: Extent,
    near: Option<u64>,
) -> Result<(Extent, Got), Stop> {
    let (piece, got) = if near.is_none_or(|near| reader.pace.expects_good(near)) {
        let piece = first_piece(gap, reader.pace.unit());
        (piece, reader.read(piece, State::NonTrimmed)?)
    } else {
        let cluster = first_piece(gap, reader.pace.cluster());
        (cluster, sector_by_sector(reader, cluster)?)
    };
    if near == Some(0) {
        reader.pace.landed(got != Got::Bad);
    }
    Ok((piece, got))
}

fn is_good(reader: &Reader<'_>, offset: u64) -> bool {
    reader.map().at(offset).is_some_and(|(_, state)| state == State::Finished)
}

/// From the end of every gap until a read fails.
fn delimit(reader: &mut Reader<'_>, domain: Extent) -> Result<(), Stop> {
    let mut before = domain.end();
    while let Some(gap) = reader.map().previous(State::NonTried, before, domain) {
        if reader.pass_is_over() {
            break;
        }
        before = gap.offset();
        backwards(reader, gap)?;
    }
    Ok(())
}

/// The longest gap first; of a very long one the middle, and from a good find to both sides.
fn longest_first(reader: &mut Reader<'_>, domain: Extent) -> Result<(), Stop> {
    let mut gaps = BinaryHeap::new();
    push_gaps(&mut gaps, reader, domain);
    while let Some((length, offset)) = gaps.pop() {
        if reader.pass_is_over() {
            break;
        }
        let gap = Extent::new(offset, length);
        if length > BISECT {
            from_middle(reader, gap)?;
        } else {
            forwards(reader, gap, Some(0))?;
        }
        push_gaps(&mut gaps, reader, gap);
    }
    Ok(())
}

/// The gaps inside `within` as (length, offset).
fn push_gaps(gaps: &mut BinaryHeap<(u64, u64)>, reader: &Reader<'_>, within: Extent) {
    let open = reader.map().within(within).filter(|(_, state)| *state == State::NonTried);
    gaps.extend(open.map(|(gap, _)| (gap.len(), gap.offset())));
}

fn from_middle(reader: &mut Reader<'_>, gap: Extent) -> Result<(), Stop> {
    let middle = gap.offset().saturating_add(gap.len() / 2);
    let upper = between(align_down(middle, reader.pace.cluster()).max(gap.offset()), gap.end());
    forwards(reader, upper, Some(0))?;
    if is_good(reader, upper.offset()) {
        backwards(reader, between(gap.offset(), upper.offset()))?;
    }
    Ok(())
}

/// Reads from the start of `gap` until a read fails; gives what is left behind it. `near` is that of [`read_next`].
fn forwards(reader: &mut Reader<'_>, gap: Extent, near: Option<u64>) -> Result<Extent, Stop> {
    let (mut gap, mut near) = (gap, near);
    while !gap.is_empty() && !reader.pass_is_over() {
        let (piece, got) = read_next(reader, gap, near)?;
        if got != Got::TooLarge {
            gap = between(piece.end(), gap.end());
        }
        if got == Got::Bad {
            break;
        }
        near = near.map(|near| near.saturating_add(1));
    }
    Ok(gap)
}

/// Reads a cluster until a sector fails; the rest of it is then left to trimming.
fn sector_by_sector(reader: &mut Reader<'_>, cluster: Extent) -> Result<Got, Stop> {
    let mut left = cluster;
    while !left.is_empty() && !reader.pass_is_over() {
        let sector = first_piece(left, reader.sector());
        left = between(sector.end(), left.end());
        if reader.read(sector, State::BadSector)? == Got::Bad {
            reader.leave_to_trimming(left);
            return Ok(Got::Bad);
        }
    }
    Ok(Got::Good)
}

/// Reads from the end of `gap` until a read fails.
///
/// What is read at once is read forwards, so that it costs one seek. When a read of it fails, what lies behind the failure still
/// has a good side, and is read in halves.
fn backwards(reader: &mut Reader<'_>, gap: Extent) -> Result<(), Stop> {
    let cluster = reader.pace.cluster();
    let (mut gap, mut found) = (gap, 0u64);
    while !gap.is_empty() && !reader.pass_is_over() {
        let stretch = last_stretch(gap, found, cluster);
        gap = between(gap.offset(), stretch.offset());
        let near = found.checked_div(cluster).filter(|_| reader.pace.is_dense());
        let left = forwards(reader, stretch, near)?;
        if !left.is_empty() || !is_good(reader, stretch.end().saturating_sub(1)) {
            return halves(reader, left);
        }
        found = found.saturating_add(stretch.len());
    }
    Ok(())
}

fn last_stretch(gap: Extent, found: u64, cluster: u64) -> Extent {
    let most = cluster.saturating_mul(STRETCH_CLUSTERS);
    let length = (found / STRETCH_PART).clamp(cluster, most);
    let last = align_down(gap.end().saturating_sub(1), cluster);
    let start = last.saturating_sub(length.saturating_sub(cluster));
    between(align_down(start, cluster).max(gap.offset()), gap.end())
}

/// Reads the upper half of what lies between a failure and good bytes, and so on towards whichever side holds.
fn halves(reader: &mut Reader<'_>, gap: Extent) -> Result<(), Stop> {
    let mut gap = gap;
    while !gap.is_empty() && !reader.pass_is_over() {
        let middle = gap.offset().saturating_add(gap.len() / 2);
        let middle = align_down(middle, reader.pace.cluster()).max(gap.offset());
        let upper = between(middle, gap.end());
        let left = forwards(reader, upper, Some(0))?;
        let holds = left.is_empty() && is_good(reader, upper.end().saturating_sub(1));
        gap = if holds { between(gap.offset(), middle) } else { left };
    }
    Ok(())
}
