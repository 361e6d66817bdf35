//! Sets with missing, cut and damaged segments.

use daleel_core::{Extent, Hole, ReadError, Source};
use daleel_image::{ChunkError, EwfError};

use super::{
    check_chunks, media, open_files, present, source_of,
    writer::{Plan, adler, section, volume, write},
};

/// Offset and name of each section of a file, the end last.
fn sections(file: &[u8]) -> Vec<(usize, String)> {
    let mut at = 13;
    let mut found = Vec::new();
    loop {
        let name = file[at..at + 16].split(|byte| *byte == 0).next().unwrap();
        let name = String::from_utf8(name.to_vec()).unwrap();
        let next = u64::from_le_bytes(file[at + 16..at + 24].try_into().unwrap()) as usize;
        let is_last = next == at;
        found.push((at, name));
        if is_last {
            found.push((at + 76, "end".to_owned()));
            return found;
        }
        at = next;
    }
}

fn at_of(file: &[u8], name: &str) -> usize {
    sections(file).into_iter().find(|(_, own)| own == name).unwrap().0
}

/// Writes the checksum of a descriptor anew.
fn mend_descriptor(file: &mut [u8], at: usize) {
    let sum = adler(&file[at..at + 72]).to_le_bytes();
    file[at + 72..at + 76].copy_from_slice(&sum);
}

/// each missing segment is a hole of just its chunks; what follows it stays at its offsets.
#[test]
fn a_missing_segment_is_a_hole_of_its_size() {
    let media = media(23 * 1024);
    let files = write(&Plan::default(), &media);
    assert_eq!(files.len(), 4);
    for lost in 0..4 {
        let mut own = present(&files);
        own[lost] = None;
        let set = open_files(&own).unwrap();
        assert_eq!(set.media_bytes(), media.len() as u64, "segment {lost}");
        let expected = if lost == 3 { 18 } else { 23 - 6 };
        assert_eq!(check_chunks(&set, &media, &format!("segment {lost}")), expected);
        assert_eq!(set.is_end_missing(), lost == 3);
        assert_eq!(set.missing().len(), usize::from(lost != 3));
        let source = source_of(set);
        let hole = Extent::new(lost as u64 * 6144, if lost == 3 { 5120 } else { 6144 });
        assert_eq!(source.holes(Extent::new(0, source.len())), [(hole, Hole::MissingPiece)]);
    }
}

/// Between two missing segments nothing says where chunks belong, so they are not used.
#[test]
fn what_has_no_known_place_is_not_given() {
    let media = media(35 * 1024);
    let files = write(&Plan::default(), &media);
    let mut own = present(&files);
    (own[1], own[3]) = (None, None);
    let set = open_files(&own).unwrap();
    assert_eq!(check_chunks(&set, &media, "two gaps"), 6 + 11);
    let text = set.findings().0.iter().map(ToString::to_string).collect::<String>();
    assert!(text.contains("6 chunks behind a gap of unknown length"), "{text}");
    // Without the end nothing behind the first gap has a place.
    own[5] = None;
    let set = open_files(&own).unwrap();
    assert_eq!(check_chunks(&set, &media, "no end"), 6);
}

/// cut at every byte, a set opens or says why not; nothing is given that is not the medium's.
#[test]
fn a_cut_at_any_byte_gives_no_wrong_byte() {
    let media = media(8 * 1024 + 512);
    let plan = Plan { sectors_per_chunk: 4, ..Plan::default() };
    let [file] = &write(&plan, &media)[..] else { panic!() };
    let mut most = 0;
    for length in 0..file.len() {
        let Ok(set) = open_files(&[Some(file[..length].to_vec())]) else { continue };
        assert_eq!(set.media_bytes(), media.len() as u64, "cut at {length}");
        let read = check_chunks(&set, &media, &format!("cut at {length}"));
        // What was once behind the cut comes back when it is not: tables are not needed for that.
        assert!(read >= most || read == 5, "cut at {length}: {read} after {most}");
        most = most.max(read);
        assert!(set.is_end_missing() || length >= file.len() - 76, "cut at {length}");
    }
    assert_eq!(most, 5);
}

/// Every bit of every byte: what is read is the medium's, and its size stays, or there is a finding.
#[test]
fn a_flipped_bit_anywhere_gives_no_wrong_byte() {
    let plan = Plan {
        sectors_per_chunk: 1,
        per_group: 2,
        groups_per_segment: 1,
        packed_every: 2,
        errors: vec![(4, 1)],
        ..Plan::default()
    };
    let mut media = media(4 * 512 + 512);
    media[2048..].fill(0);
    let files = write(&plan, &media);
    assert_eq!(files.len(), 3);
    let mut whole = 0;
    let mut total = 0;
    for (number, file) in files.iter().enumerate() {
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut own = files.clone();
                own[number][at] ^= 1 << bit;
                let what = format!("segment {number}, byte {at}, bit {bit}");
                total += 1;
                let Ok(set) = open_files(&present(&own)) else {
                    // That value is the mark of the variant with Zstandard, which is refused.
                    assert_eq!(own[number][8], 0x21, "{what}: not opened");
                    continue;
                };
                let read = check_chunks(&set, &media, &what);
                assert_eq!(set.media_bytes(), media.len() as u64, "{what}");
                let is_noted = !set.findings().0.is_empty();
                assert!(read == 5 || is_noted || is_chunk(file, at), "{what}: {read} chunks");
                whole += u64::from(read == 5);
            }
        }
    }
    // Damage outside of the chunks costs nothing, since everything else is there twice or can be found anew.
    let chunks: usize = files.iter().map(|file| chunk_bytes(file)).sum();
    assert!(whole >= total - chunks as u64 * 8, "{whole} of {total}, {chunks} bytes of chunks");
}

fn chunk_bytes(file: &[u8]) -> usize {
    (0..file.len()).filter(|at| is_chunk(file, *at)).count()
}

fn is_chunk(file: &[u8], at: usize) -> bool {
    let sections = sections(file);
    sections.windows(2).any(|two| two[0].1 == "sectors" && (two[0].0 + 76..two[1].0).contains(&at))
}

/// A damaged chunk is a hole from the first read on, of its size, and its neighbours are read.
#[test]
fn a_damaged_chunk_is_a_hole_once_it_was_read() {
    let media = media(6 * 1024);
    let mut files = write(&Plan::default(), &media);
    let at = at_of(&files[0], "sectors") + 76;
    files[0][at + 100] ^= 1; // packed
    files[0][at + 1024 + 11 + 100] ^= 1; // stored
    let source = source_of(open_files(&present(&files)).unwrap());
    assert!(source.holes(Extent::new(0, 6144)).is_empty());
    let error = source.read_exact_at(10, &mut [0; 6000]).unwrap_err();
    let ReadError::Hole { at, hole: Hole::Damaged } = error else { panic!("{error}") };
    assert_eq!(at, Extent::new(10, 1014));
    assert!(source.read_exact_at(1024, &mut [0; 2]).is_err());
    assert_eq!(source.holes(Extent::new(0, 6144)), [(Extent::new(0, 2048), Hole::Damaged)],);
    let mut buf = [0; 4096];
    source.read_exact_at(2048, &mut buf).unwrap();
    assert_eq!(buf, media[2048..]);
    let mut buf = [0; 1028];
    assert!(matches!(source.set().read_chunk(0, &mut buf), Err(ChunkError::Inflate(_))));
    assert!(matches!(source.set().read_chunk(1, &mut buf), Err(ChunkError::Checksum { .. })));
}

/// Both tables of a group gone: the chunks prove their places themselves, and one that is damaged costs itself.
#[test]
fn chunks_are_found_without_tables() {
    let media = media(12 * 1024);
    let plan = Plan { per_group: 6, groups_per_segment: 2, ..Plan::default() };
    let [file] = &write(&plan, &media)[..] else { panic!() };
    let (table, table2) = (at_of(file, "table"), at_of(file, "table2"));
    for header in [false, true] {
        for damaged_chunk in [false, true] {
            let mut own = file.clone();
            let entry = if header { 76 } else { 76 + 24 + 4 };
            own[table + entry] ^= 4;
            own[table2 + entry] ^= 8;
            if damaged_chunk {
                own[at_of(file, "sectors") + 76 + 1024 + 11 + 50] ^= 1;
            }
            let set = open_files(&[Some(own)]).unwrap();
            let read = check_chunks(&set, &media, "no tables");
            // Without headers nothing says how many chunks are behind the damaged one; the end of the medium says
            // where the second group lies.
            let expected = match (header, damaged_chunk) {
                (_, false) => 12,
                (false, true) => 11,
                (true, true) => 7,
            };
            assert_eq!(read, expected, "{header} {damaged_chunk}");
            assert!(!set.findings().0.is_empty());
        }
    }
}

/// A second image behind a descriptor whose fields disagree: the chain is followed and the contradiction is told.
#[test]
fn fields_that_disagree_are_told() {
    let media = media(6 * 1024);
    let [file] = &write(&Plan::default(), &media)[..] else { panic!() };
    let at = at_of(file, "hash");
    let mut own = file[..at].to_vec();
    // Four hidden bytes between two sections: one field ends before them, the other behind.
    section(&mut own, "hash", &file[at + 76..at + 112]);
    own.extend(b"hide");
    let next = own.len() as u64;
    own[at + 16..at + 24].copy_from_slice(&next.to_le_bytes());
    mend_descriptor(&mut own, at);
    section(&mut own, "done", &[]);
    let set = open_files(&[Some(own)]).unwrap();
    assert_eq!(check_chunks(&set, &media, "hidden bytes"), 6);
    let (findings, _) = set.findings();
    let text = findings[0].to_string();
    assert!(text.contains("size 112") && text.contains("fields that agree"), "{text}");
}

/// numbers from the file cost no memory and no time by themselves.
#[test]
fn hostile_numbers_are_refused_or_bounded() {
    let media = media(6 * 1024);
    let [file] = &write(&Plan::default(), &media)[..] else { panic!() };
    for (field, bytes) in [(8, 4), (12, 4), (16, 8), (4, 4)] {
        for value in [0u64, 1, 0x7FFF_FFFF, u64::from(u32::MAX), u64::MAX] {
            let mut payload = volume(&Plan::default(), media.len());
            payload[field..field + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
            let sum = adler(&payload[..1048]).to_le_bytes();
            payload[1048..].copy_from_slice(&sum);
            let mut own = file.clone();
            for name in ["volume", "data"] {
                let at = at_of(file, name) + 76;
                own[at..at + 1052].copy_from_slice(&payload);
            }
            let Ok(set) = open_files(&[Some(own)]) else { continue };
            assert!(set.chunk_bytes() <= 128 << 20);
            let mut buf = vec![0; set.chunk_bytes() + 4];
            for index in [0, 5, set.chunk_count() - 1, set.chunk_count(), u64::MAX] {
                let _ = set.read_chunk(index, &mut buf);
            }
        }
    }
    // Counts of tables and of errors above what their sections hold.
    let at = at_of(file, "table") + 76;
    let mut own = file.clone();
    own[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let sum = adler(&own[at..at + 20]).to_le_bytes();
    own[at + 20..at + 24].copy_from_slice(&sum);
    let set = open_files(&[Some(own)]).unwrap();
    assert_eq!(check_chunks(&set, &media, "a table of 2^32 entries"), 6);
}

/// A chain that goes back would never end.
#[test]
fn a_chain_that_goes_back_ends() {
    let media = media(6 * 1024);
    let [file] = &write(&Plan::default(), &media)[..] else { panic!() };
    for next in [13u64, 0, u64::MAX] {
        let at = at_of(file, "table2");
        let mut own = file.clone();
        own[at + 16..at + 24].copy_from_slice(&next.to_le_bytes());
        mend_descriptor(&mut own, at);
        let set = open_files(&[Some(own)]).unwrap();
        check_chunks(&set, &media, "backwards");
        assert!(!set.findings().0.is_empty());
    }
}

#[test]
fn related_formats_are_refused_by_name() {
    for (start, word) in [
        (&b"EVF2\x0d\x0a\x81\x00\x02\x01"[..], "Ex01"),
        (b"LVF\x09\x0d\x0a\xff\x00\x01\x01\x00\x00\x00", "L01"),
        (b"LEF2\x0d\x0a\x81\x00\x02\x01", "Lx01"),
        (b"ADCRYPT\x00", "encrypted"),
        (b"EVF\x09\x0d\x0a\xff\x00\x21\x01\x00\x00\x00", "Zstandard"),
    ] {
        let error = open_files(&[Some(start.to_vec())]).err().unwrap();
        let EwfError::Unsupported { what, .. } = &error else { panic!("{error}") };
        assert!(what.contains(word), "{error}");
    }
}
