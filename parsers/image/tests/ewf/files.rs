//! Sets as files in a folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use daleel_core::{Extent, Hole, Input, Source};
use daleel_image::{EwfSet, OpenError, Opened, open};

use super::{
    check_chunks, media,
    writer::{Plan, write},
};

struct Folder {
    folder: tempfile::TempDir,
    media: Vec<u8>,
}

impl Folder {
    /// A set of `segments` segments under names that `name` gives.
    fn new(segments: usize, name: impl Fn(usize) -> String) -> Self {
        let media = media(segments * 512);
        let plan = Plan {
            sectors_per_chunk: 1,
            per_group: 1,
            groups_per_segment: 1,
            packed_every: 3,
            ..Plan::default()
        };
        let folder = tempfile::tempdir().unwrap();
        for (number, file) in write(&plan, &media).iter().enumerate() {
            fs::write(folder.path().join(name(number + 1)), file).unwrap();
        }
        Self { folder, media }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn source(opened: &Opened) -> &dyn Source {
    match &opened.input {
        Input::Volume(volume) => &*volume.source,
        Input::Tree(_) => panic!("a tree"),
    }
}

fn numbered(number: usize) -> String {
    format!("case.E{number:02}")
}

#[test]
fn any_segment_opens_the_set() {
    let own = Folder::new(3, numbered);
    for name in ["case.E01", "case.E02", "case.E03"] {
        let opened = open(&own.path(name), None).unwrap();
        assert_eq!(opened.description, "E01 image, 3 segments, EnCase 6");
        assert_eq!((opened.paths.len(), opened.identities.len()), (3, 3));
        let bytes = source(&opened).read(Extent::new(0, opened.size)).unwrap();
        assert_eq!(bytes, own.media);
        assert!(opened.notes[0].contains("MD5 01010101"), "{:?}", opened.notes);
        assert!(opened.is_on_source(&own.path("case.E02")).unwrap());
    }
}

#[test]
fn a_renamed_segment_is_recognised_by_its_bytes() {
    let own = Folder::new(1, |_| "evidence.img".to_owned());
    // Another image beside it is not taken for its first segment.
    fs::write(own.path("evidence.E01"), write(&Plan::default(), &media(512)).concat()).unwrap();
    let opened = open(&own.path("evidence.img"), None).unwrap();
    assert_eq!(opened.description, "E01 image, 1 segment, EnCase 6");
    assert_eq!(source(&opened).read(Extent::new(0, 512)).unwrap(), own.media);
}

/// Names of the format up to `.EAB`, in mixed case, and of Guymager behind the last.
#[test]
fn names_go_on_in_letters_and_case_does_not_count() {
    let own = Folder::new(102, |number| match number {
        1..=9 => format!("CASE.e0{number}"),
        10..=99 => format!("case.E{number}"),
        100 => "case.EAA".to_owned(),
        101 => "case.eab".to_owned(),
        _ => "case.EAC".to_owned(),
    });
    fs::write(own.path("case.map"), "0 +\n").unwrap();
    fs::write(own.path("case.log"), "a log\n").unwrap();
    for name in ["CASE.e01", "case.E55", "case.eab"] {
        let set = EwfSet::open(&own.path(name)).unwrap();
        assert_eq!(set.segments().len(), 102, "{name}");
        assert_eq!(set.findings().0, [], "{name}");
        assert_eq!(check_chunks(&set, &own.media, name), 102);
    }
}

/// missing segments are named.
#[test]
fn missing_segments_are_named() {
    let own = Folder::new(5, numbered);
    fs::remove_file(own.path("case.E03")).unwrap();
    let opened = open(&own.path("case.E01"), None).unwrap();
    assert_eq!(opened.description, "E01 image, 4 of 5 segments, EnCase 6");
    assert_eq!(opened.missing, ["case.E03"]);
    let holes = source(&opened).holes(Extent::new(0, opened.size));
    assert_eq!(holes, [(Extent::new(1024, 512), Hole::MissingPiece)]);
    fs::remove_file(own.path("case.E05")).unwrap();
    let opened = open(&own.path("case.E01"), None).unwrap();
    assert!(opened.notes.iter().any(|note| note.contains("the end of the set is missing")));
}

/// Two files that swapped their names keep their places, by the numbers in them; one whose number contradicts its
/// name in a set with gaps is left out.
#[test]
fn numbers_in_the_files_settle_the_order() {
    let own = Folder::new(4, numbered);
    fs::rename(own.path("case.E02"), own.path("x")).unwrap();
    fs::rename(own.path("case.E03"), own.path("case.E02")).unwrap();
    fs::rename(own.path("x"), own.path("case.E03")).unwrap();
    let set = EwfSet::open(&own.path("case.E01")).unwrap();
    assert_eq!(check_chunks(&set, &own.media, "swapped"), 4);
    assert_eq!(set.findings().0.len(), 2);
    fs::remove_file(own.path("case.E03")).unwrap();
    let set = EwfSet::open(&own.path("case.E01")).unwrap();
    assert_eq!(check_chunks(&set, &own.media, "left out"), 2);
    // A later segment under the name of a lost one makes the names whole; the tables say that they are not.
    let own = Folder::new(4, numbered);
    fs::rename(own.path("case.E04"), own.path("case.E03")).unwrap();
    let set = EwfSet::open(&own.path("case.E01")).unwrap();
    assert_eq!(check_chunks(&set, &own.media, "another name"), 2);
    // A damaged number in a set that is whole by its names and its tables.
    let own = Folder::new(4, numbered);
    let mut file = fs::read(own.path("case.E02")).unwrap();
    file[9] = 9;
    fs::write(own.path("case.E02"), file).unwrap();
    let set = EwfSet::open(&own.path("case.E01")).unwrap();
    assert_eq!((check_chunks(&set, &own.media, "damaged number"), set.findings().0.len()), (4, 1));
}

/// A second set of the same medium's size: its segment is told.
#[test]
fn a_segment_of_another_set_is_told() {
    let own = Folder::new(2, numbered);
    let path = own.path("case.E02");
    let mut file = fs::read(&path).unwrap();
    let at = 13 + 76;
    file[at + 64] ^= 1;
    let sum = super::writer::adler(&file[at..at + 1048]).to_le_bytes();
    file[at + 1048..at + 1052].copy_from_slice(&sum);
    fs::write(&path, file).unwrap();
    let set = EwfSet::open(&path).unwrap();
    let text = set.findings().0[0].to_string();
    assert!(text.contains("another set identifier"), "{text}");
}

/// the map of an acquisition lies over an E01 as over a raw image.
#[test]
fn a_map_lies_over_an_e01() {
    let own = Folder::new(3, numbered);
    let map = own.path("case.map");
    fs::write(&map, "0 + 1\n0 512 +\n512 512 -\n1024 512 +\n").unwrap();
    assert_eq!(daleel_image::map_beside(&own.path("case.E01")), Some(map.clone()));
    let opened = open(&own.path("case.E01"), Some(&map)).unwrap();
    assert_eq!(opened.description, "E01 image, 3 segments, EnCase 6, with a ddrescue map");
    let holes = source(&opened).holes(Extent::new(0, 1536));
    assert_eq!(holes, [(Extent::new(512, 512), Hole::Unreadable)]);
}

#[test]
fn an_ex01_is_refused_and_a_file_that_is_none_is_raw() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.Ex01");
    fs::write(&path, b"EVF2\x0d\x0a\x81\x00\x02\x01").unwrap();
    let error = open(&path, None).err().unwrap();
    assert!(
        matches!(error, OpenError::Ewf(_)) && error.to_string().contains("not read yet"),
        "{error}"
    );
    let path = folder.path().join("a.E01");
    fs::write(&path, [0; 1024]).unwrap();
    assert_eq!(open(&path, None).unwrap().description, "raw image");
    assert!(EwfSet::open(Path::new("no/such.E01")).is_err());
}
