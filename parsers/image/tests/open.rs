//! Opening paths as a user gives them.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_used
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use daleel_core::{Extent, Hole, Input, Source};
use daleel_image::{OpenError, Opened, open};

fn folder_of(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn source(opened: &Opened) -> &dyn Source {
    match &opened.input {
        Input::Volume(volume) => &*volume.source,
        Input::Tree(_) => panic!("a tree"),
    }
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn a_file_is_a_raw_image() {
    let folder = folder_of(&[("disk.dd", &[5; 1024]), ("cut.dd", &[5; 1000])]);
    let opened = open(&folder.path().join("disk.dd"), None).unwrap();
    assert_eq!((opened.description.as_str(), opened.size), ("raw image", 1024));
    assert!(opened.notes.is_empty());
    assert_eq!(opened.paths, [folder.path().join("disk.dd")]);
    assert_eq!(source(&opened).read_array::<4>(1020).unwrap(), [5; 4]);
    let opened = open(&folder.path().join("cut.dd"), None).unwrap();
    assert!(opened.notes[0].contains("488 left over"), "{:?}", opened.notes);
}

/// A wrapped image must not pass for an empty disk.
#[test]
fn a_wrapped_image_is_pointed_out() {
    let folder = folder_of(&[("case.vmdk", b"KDMV\x01\x00\x00\x00")]);
    let opened = open(&folder.path().join("case.vmdk"), None).unwrap();
    assert!(opened.notes[0].contains("VMDK"), "{:?}", opened.notes);
}

#[test]
fn a_split_set_is_named_with_its_missing_pieces() {
    let files: [(&str, &[u8]); 3] =
        [("d.001", &[1; 512]), ("d.002", &[2; 512]), ("d.004", &[4; 9])];
    let folder = folder_of(&files);
    let opened = open(&folder.path().join("d.002"), None).unwrap();
    assert_eq!(opened.description, "split raw image, 3 of 4 pieces");
    assert_eq!(opened.missing, ["d.003"]);
    assert_eq!(names(&opened.paths), ["d.001", "d.002", "d.004"]);
    assert_eq!(opened.size, 3 * 512 + 9);
    let holes = source(&opened).holes(Extent::new(0, opened.size));
    assert_eq!(holes, [(Extent::new(1024, 512), Hole::MissingPiece)]);
}

#[test]
fn a_folder_is_a_tree_and_takes_no_map() {
    let folder = folder_of(&[("b.dav", b"bb"), ("a.dav", b"a"), ("a.map", b"0 +\n")]);
    let opened = open(folder.path(), None).unwrap();
    assert_eq!((opened.description.as_str(), opened.size), ("folder, 3 files", 7));
    assert_eq!(names(&opened.paths), ["a.dav", "a.map", "b.dav"]);
    let error = open(folder.path(), Some(&folder.path().join("a.map"))).err().unwrap();
    assert!(matches!(error, OpenError::MapOfFolder { .. }), "{error}");
}

#[test]
fn a_map_lays_its_holes_over_the_image_and_says_what_it_covers() {
    let folder = folder_of(&[
        ("d.dd", &[5; 2048]),
        ("d.map", b"0 ? 1\n0 512 +\n512 512 -\n1024 2048 +\n"),
        ("bad.map", b"0 + 1\n0 512 +\n0 512 -\n"),
    ]);
    let opened = open(&folder.path().join("d.dd"), Some(&folder.path().join("d.map"))).unwrap();
    assert_eq!(opened.description, "raw image, with a ddrescue map");
    assert_eq!(opened.size, 3072);
    assert_eq!(names(&opened.paths), ["d.dd", "d.map"]);
    assert_eq!(
        source(&opened).holes(Extent::new(0, 3072)),
        [(Extent::new(512, 512), Hole::Unreadable), (Extent::new(2048, 1024), Hole::BeyondEnd)]
    );
    let notes = opened.notes.join("\n");
    for part in ["the image ends before the medium", "not finished", "512 bytes unreadable"] {
        assert!(notes.contains(part), "{notes}");
    }
    let error = open(&folder.path().join("d.dd"), Some(&folder.path().join("bad.map")));
    assert!(error.err().unwrap().to_string().contains("line 3"));
}

#[test]
fn what_is_not_there_is_named() {
    let error = open(Path::new("no/such/image.dd"), None).err().unwrap();
    assert!(error.to_string().starts_with("no/such/image.dd: "), "{error}");
}

#[cfg(unix)]
#[test]
fn pipes_are_refused_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let error = open(&pipe, None).err().unwrap();
    assert!(error.to_string().contains("is a pipe"), "{error}");
    let error = open(Path::new("/dev/null"), None).err().unwrap();
    assert!(error.to_string().contains("is a character device"), "{error}");
}

/// U-6: the source's own files and everything below a source folder are refused as output.
#[test]
fn outputs_on_the_source_are_recognised() {
    let folder = folder_of(&[("disk.dd", &[5; 1024])]);
    let root = folder.path();
    fs::create_dir(root.join("footage")).unwrap();
    let image = open(&root.join("disk.dd"), None).unwrap();
    assert!(image.is_on_source(&root.join("disk.dd")).unwrap());
    assert!(!image.is_on_source(&root.join("out/new")).unwrap());
    let tree = open(&root.join("footage"), None).unwrap();
    assert!(tree.is_on_source(&root.join("footage/out/new")).unwrap());
    assert!(tree.is_on_source(&root.join("out/../footage/x")).is_err());
    assert!(!tree.is_on_source(&root.join("out")).unwrap());
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(root.join("footage"), root.join("link")).unwrap();
        assert!(tree.is_on_source(&root.join("link/new")).unwrap());
        fs::hard_link(root.join("disk.dd"), root.join("other")).unwrap();
        assert!(image.is_on_source(&root.join("other")).unwrap());
    }
}

/// A read-only loop device over a file, taken away again at the end.
#[cfg(target_os = "linux")]
struct LoopDevice(PathBuf);

#[cfg(target_os = "linux")]
impl LoopDevice {
    /// `None` where the user may not make one.
    fn new(image: &Path) -> Option<Self> {
        let output = std::process::Command::new("losetup")
            .args(["--find", "--show", "--read-only", "--sector-size", "4096"])
            .arg(image)
            .output()
            .ok()?;
        let path = String::from_utf8(output.stdout).unwrap();
        output.status.success().then(|| Self(PathBuf::from(path.trim())))
    }
}

#[cfg(target_os = "linux")]
impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = std::process::Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

/// a device is opened for reading, with its size and the sector size that the system states.
#[cfg(target_os = "linux")]
#[test]
fn a_block_device_gives_its_size_and_sectors() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.dd");
    let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    fs::write(&image, &bytes).unwrap();
    let Some(device) = LoopDevice::new(&image) else {
        eprintln!("SKIPPED: no loop device can be made here (losetup needs privileges)");
        return;
    };
    let opened = open(&device.0, None).unwrap();
    assert_eq!((opened.description.as_str(), opened.size), ("block device", 1 << 20));
    assert_eq!(source(&opened).sector_bytes(), 4096);
    let read = source(&opened).read(Extent::new(12_345, 54_321)).unwrap();
    assert_eq!(read, bytes[12_345..12_345 + 54_321]);
    assert!(opened.identities[0].is_block_device());
    assert!(opened.is_on_source(&device.0).unwrap());
    assert!(!opened.is_on_source(folder.path()).unwrap());
}
