//! E01 sets that libewf's ewfacquire wrote, against the file it read and what ewfexport gives.
//!
//! Other forms than that of EnCase 6 exist in this program alone, so these tests are what holds the reader to them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use daleel_core::{Input, Source};
use daleel_image::{EwfSet, EwfSource, SegmentInput, open};
use daleel_tests::oracle::program;

use crate::peer::run;

/// Bytes that deflate badly, zeros, and text, in turns.
fn media(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut out = Vec::with_capacity(length);
    while out.len() < length {
        match (out.len() >> 16) % 3 {
            0 => {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                out.extend(state.to_le_bytes());
            }
            1 => out.extend([0; 8]),
            _ => out.extend(format!("{:07} ", out.len()).bytes()),
        }
    }
    out.truncate(length);
    out
}

/// A folder with a raw file and the sets made of it.
struct Bench {
    folder: tempfile::TempDir,
    media: Vec<u8>,
}

impl Bench {
    fn new(length: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let media = media(length);
        fs::write(folder.path().join("disk.raw"), &media).unwrap();
        Self { folder, media }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Acquires the raw file; gives the first segment.
    fn acquire(&self, name: &str, arguments: &[&str]) -> PathBuf {
        run(Command::new("ewfacquire")
            .args(["-q", "-u", "-t"])
            .arg(self.path(name))
            .args(["-C", "7/24", "-E", "3", "-e", "A. Examiner", "-N", "a note", "-D", "a disk"])
            .args(["-d", "sha1"])
            .args(arguments)
            .arg(self.path("disk.raw")));
        ["E01", "e01", "s01"]
            .iter()
            .map(|extension| self.path(&format!("{name}.{extension}")))
            .find(|path| path.exists())
            .unwrap()
    }

    /// Reads the set in pieces of many sizes and compares all of it.
    fn check(&self, path: &Path, what: &str) -> EwfSet {
        let opened = open(path, None).unwrap();
        let Input::Volume(volume) = &opened.input else { panic!("{what}") };
        assert_eq!(opened.size, self.media.len() as u64, "{what}");
        let mut at = 0;
        for size in [1, 511, 512, 32_768, 40_000, 100, 1 << 20].iter().cycle() {
            let length = (*size).min(self.media.len() - at);
            if length == 0 {
                break;
            }
            let mut buf = vec![0; length];
            volume.source.read_exact_at(at as u64, &mut buf).unwrap();
            assert!(buf == self.media[at..at + length], "{what}: at {at}");
            at += length;
        }
        let set = EwfSet::open(path).unwrap();
        assert_eq!(set.findings().0, [], "{what}");
        set
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every form and compression that ewfacquire writes, in several segments.
#[test]
fn every_form_of_ewfacquire_reads_back() {
    if program("ewfacquire", "-V").is_none() {
        return;
    }
    let bench = Bench::new((5 << 20) + 3 * 32_768 + 5 * 512);
    let forms = [
        "ewf", "smart", "ftk", "encase1", "encase2", "encase3", "encase4", "encase5", "encase6",
        "encase7", "linen5", "linen6", "linen7", "ewfx",
    ];
    for form in forms {
        for level in ["none", "empty-block", "fast", "best"] {
            let what = format!("{form}-{level}");
            let path = bench.acquire(&what, &["-f", form, "-c", level, "-S", "1048576"]);
            let set = bench.check(&path, &what);
            let header = set.header();
            assert_eq!(header.case_number.as_deref(), Some("7/24"), "{what}");
            assert_eq!(header.examiner.as_deref(), Some("A. Examiner"), "{what}");
            assert_eq!(header.evidence_number.as_deref(), Some("3"), "{what}");
            assert_eq!(header.description.as_deref(), Some("a disk"), "{what}");
            assert!(set.md5().is_some(), "{what}");
            for segment in set.segments() {
                fs::remove_file(&segment.path).unwrap();
            }
        }
    }
}

/// Chunk sizes, sizes of the medium at the borders, and sectors of 4096 bytes.
#[test]
fn sizes_at_every_border_read_back() {
    if program("ewfacquire", "-V").is_none() {
        return;
    }
    let sizes = [512, 32_256, 32_768, 33_280, 131_072, 5 * 32_768 + 1536, 3 << 20];
    for size in sizes {
        let bench = Bench::new(size);
        for sectors in ["16", "64", "128", "1024", "32768"] {
            for level in ["none", "fast"] {
                let what = format!("{size}-{sectors}-{level}");
                let path = bench.acquire(&what, &["-b", sectors, "-c", level]);
                bench.check(&path, &what);
            }
        }
    }
    let bench = Bench::new(4096 * 1001);
    let path = bench.acquire("large-sectors", &["-P", "4096", "-b", "16"]);
    assert_eq!(bench.check(&path, "4096").sector_bytes(), 4096);
}

/// More than 99 segments, tables of the largest size, and what ewfinfo and ewfexport say of the same set.
#[test]
fn a_set_of_many_segments_is_what_other_programs_say() {
    if program("ewfacquire", "-V").is_none() {
        return;
    }
    let bench = Bench::new(105 << 20);
    let path = bench.acquire("many", &["-S", "1048576", "-c", "none", "-b", "16"]);
    let set = bench.check(&path, "many segments");
    assert!(set.segments().len() > 100);
    assert!(set.segments().iter().any(|segment| segment.path.ends_with("many.EAB")));
    let info = run(Command::new("ewfinfo").arg(&path)).stdout;
    let info = String::from_utf8_lossy(&info);
    for text in
        [hex(&set.md5().unwrap()), format!("{} bytes", set.media_bytes()), set.form().to_owned()]
    {
        assert!(info.contains(&text), "{text}: {info}");
    }
    run(Command::new("ewfexport")
        .args(["-q", "-u", "-f", "raw", "-S", "0", "-t"])
        .arg(bench.path("export"))
        .arg(&path));
    assert!(fs::read(bench.path("export.raw")).unwrap() == bench.media);
}

/// A file that ends within a sector: ewfacquire states its whole sectors as the medium and stores all of it. What is read
/// is what ewfexport gives; the rest is there, and told.
#[test]
fn a_file_that_ends_within_a_sector_is_read_to_its_last_whole_one() {
    if program("ewfacquire", "-V").is_none() {
        return;
    }
    for level in ["none", "fast"] {
        let bench = Bench::new(100_000);
        let path = bench.acquire("odd", &["-c", level]);
        let set = Arc::new(EwfSet::open(&path).unwrap());
        assert_eq!(set.media_bytes(), 99_840);
        let source = EwfSource::new(Arc::clone(&set));
        let mut buf = vec![0; 99_840];
        source.read_exact_at(0, &mut buf).unwrap();
        assert!(buf == bench.media[..99_840]);
        assert!(set.surplus().unwrap() == bench.media[99_840..]);
        let text = set.findings().0[0].to_string();
        assert!(text.contains("160 bytes behind the end of the medium"), "{text}");
    }
}

/// One bit of every byte outside of the chunks flipped, in the forms that only this program writes: what is read is the
/// medium's, or nothing is.
#[test]
fn a_flipped_bit_gives_no_wrong_byte_in_any_form() {
    if program("ewfacquire", "-V").is_none() {
        return;
    }
    let bench = Bench::new(3 * 8192 + 1024);
    for form in ["ewf", "smart", "ftk", "encase1", "encase5", "encase6", "linen5", "ewfx"] {
        let path = bench.acquire(form, &["-f", form, "-c", "fast", "-b", "16"]);
        let file = fs::read(&path).unwrap();
        for at in 0..file.len() {
            let mut own = file.clone();
            own[at] ^= 1 << (at % 8);
            let input = SegmentInput::new("one.E01", 1, Arc::new(own));
            // What states the size of the medium is there once in the old forms.
            let Ok(set) = EwfSet::from_segments(vec![input]) else { continue };
            let mut buf = vec![0; set.chunk_bytes() + 4];
            for index in 0..set.chunk_count().min(8) {
                let Ok(length) = set.read_chunk(index, &mut buf) else { continue };
                let from = set.chunk_extent(index).offset() as usize;
                let is_right = bench.media.get(from..from + length) == Some(&buf[..length]);
                assert!(is_right, "{form}: byte {at}, chunk {index}");
            }
            let is_told = !set.findings().0.is_empty();
            assert!(set.media_bytes() == bench.media.len() as u64 || is_told, "{form}: byte {at}");
        }
    }
}
