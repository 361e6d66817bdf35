//! Sector by sector: trimming, scraping and retrying.
//!
//! A sector is called bad only when a read of it alone failed, so each bad one costs one failure here and nothing can save it;
//! what can be saved is seeks and time until the good ones are had. Good sectors are read in ascending order, which a drive
//! serves from its cache. Facts: GNU ddrescue manual 1.27, chapter "Algorithm".

use daleel_core::Extent;

use super::{
    engine::Phase,
    map::{State, between},
    reader::{Got, Reader, Stop, align_down},
};

/// Sectors that are read at once when going backwards: one physical sector of most disks.
const STRETCH_SECTORS: u64 = 8;

/// Finds the first and the last bad sector of every failed stretch of `domain`; what lies between is to be scraped.
pub(super) fn trim(reader: &mut Reader<'_>, domain: Extent) -> Result<(), Stop> {
    if reader.map().next(State::NonTrimmed, 0, domain).is_none() {
        return Ok(());
    }
    reader.begin(Phase::Trimming, 1, domain)?;
    let mut from = domain.offset();
    while let Some(area) = reader.map().next(State::NonTrimmed, from, domain) {
        if reader.pass_is_over() {
            break;
        }
        from = area.end();
        // An edge next to a bad sector is found already.
        let mut left = area;
        if !is_bad(reader, area.offset().checked_sub(1)) {
            left = forwards(reader, left)?;
        }
        if !is_bad(reader, Some(area.end())) {
            left = backwards(reader, left)?;
        }
        if !reader.pass_is_over() {
            reader.leave_to_scraping(left);
        }
    }
    Ok(())
}

/// One sector; it ends at a multiple of the sector size or with the stretch.
fn first_sector(reader: &Reader<'_>, area: Extent) -> Extent {
    let sector = reader.sector();
    let end = align_down(area.offset(), sector).saturating_add(sector);
    between(area.offset(), end.min(area.end()))
}

/// Reads from the start until a sector fails; gives what is left behind it.
fn forwards(reader: &mut Reader<'_>, area: Extent) -> Result<Extent, Stop> {
    let mut area = area;
    while !area.is_empty() && !reader.pass_is_over() {
        let sector = first_sector(reader, area);
        area = between(sector.end(), area.end());
        if reader.read(sector, State::BadSector)? == Got::Bad {
            break;
        }
    }
    Ok(area)
}

/// Reads from the end until a sector fails; gives what is left before it. Sectors behind the failure in the same few are read.
fn backwards(reader: &mut Reader<'_>, area: Extent) -> Result<Extent, Stop> {
    let mut area = area;
    let step = reader.sector().saturating_mul(STRETCH_SECTORS);
    let mut has_failed = false;
    while !area.is_empty() && !has_failed && !reader.pass_is_over() {
        let start = align_down(area.end().saturating_sub(1), step).max(area.offset());
        let mut few = between(start, area.end());
        area = between(area.offset(), start);
        while !few.is_empty() && !reader.pass_is_over() {
            let behind = forwards(reader, few)?;
            has_failed |= !behind.is_empty() || !is_good(reader, few.end().saturating_sub(1));
            few = behind;
        }
        if !few.is_empty() {
            return Ok(between(area.offset(), few.end()));
        }
    }
    Ok(area)
}

fn is_bad(reader: &Reader<'_>, offset: Option<u64>) -> bool {
    let at = offset.and_then(|offset| reader.map().at(offset));
    at.is_some_and(|(_, state)| state == State::BadSector)
}

fn is_good(reader: &Reader<'_>, offset: u64) -> bool {
    reader.map().at(offset).is_some_and(|(_, state)| state == State::Finished)
}

/// Tries every sector that is left, the shortest stretches first: a long one is likely bad throughout, and takes days.
pub(super) fn scrape(reader: &mut Reader<'_>, domain: Extent) -> Result<(), Stop> {
    let mut areas: Vec<Extent> = reader
        .map()
        .within(domain)
        .filter(|(_, state)| *state == State::NonScraped)
        .map(|(extent, _)| extent)
        .collect();
    if areas.is_empty() {
        return Ok(());
    }
    reader.begin(Phase::Scraping, 1, domain)?;
    areas.sort_unstable_by_key(|area| (area.len(), area.offset()));
    for area in areas {
        let mut left = area;
        while !left.is_empty() {
            if reader.pass_is_over() {
                return Ok(());
            }
            left = forwards(reader, left)?;
        }
    }
    Ok(())
}

/// Reads every bad sector again, forwards in odd passes and backwards in even ones.
pub(super) fn retry(reader: &mut Reader<'_>, domain: Extent, pass: u32) -> Result<(), Stop> {
    if reader.map().next(State::BadSector, 0, domain).is_none() {
        return Ok(());
    }
    reader.begin(Phase::Retrying, pass, domain)?;
    let is_forward = pass % 2 == 1;
    let mut at = if is_forward { domain.offset() } else { domain.end() };
    while !reader.pass_is_over() {
        let sector = if is_forward {
            reader.map().next(State::BadSector, at, domain).map(|area| first_sector(reader, area))
        } else {
            reader
                .map()
                .previous(State::BadSector, at, domain)
                .map(|area| last_sector(reader, area))
        };
        let Some(sector) = sector else { break };
        reader.read(sector, State::BadSector)?;
        at = if is_forward { sector.end() } else { sector.offset() };
    }
    Ok(())
}

fn last_sector(reader: &Reader<'_>, area: Extent) -> Extent {
    let start = align_down(area.end().saturating_sub(1), reader.sector());
    between(start.max(area.offset()), area.end())
}
