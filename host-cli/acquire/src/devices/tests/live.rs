//! Real block devices and files of this computer.

use std::{fs, io::Write as _, path::Path};

use super::fixtures::{Loop, Nbd, pattern, skipped};
use crate::{
    devices::{
        SourceMedium,
        identity::Asked,
        medium::Sample,
        open,
        presence::{DevicePresence, number_of},
        source::{OpenError, SourceKind},
        sysfs::Roots,
    },
    medium::{Buffer, Medium as _, MediumError},
};

const MIB: usize = 1024 * 1024;

/// A file of `size` bytes on a file system that has O_DIRECT.
fn file_of(folder: &Path, size: usize) -> std::path::PathBuf {
    let path = folder.join("disk.dd");
    fs::write(&path, pattern(size)).unwrap();
    path
}

fn lost(result: Result<(), MediumError>) -> String {
    match result {
        Err(MediumError::Lost(text)) => text,
        other => panic!("not lost: {other:?}"),
    }
}

/// A disk without the guard, so that a test can go on using it.
fn bare(node: &Path) -> SourceMedium {
    let roots = Roots::default();
    let disk = roots.disk_of_number(number_of(node).unwrap()).unwrap();
    SourceMedium::device(DevicePresence::new(roots, node, disk, None).unwrap()).unwrap()
}

/// A-6: every byte of a file whose length is no multiple of anything, at odd places and in odd lengths.
#[test]
fn a_file_is_read_to_its_last_byte() {
    let folder = tempfile::tempdir().unwrap();
    let size = 2 * MIB + 777;
    let path = file_of(folder.path(), size);
    let expected = pattern(size);
    let opened = open(&path).unwrap();
    assert_eq!(opened.identity.kind, SourceKind::File);
    assert_eq!((opened.medium.len(), opened.identity.size), (size as u64, size as u64));
    assert!(opened.guard.is_none());
    let mut whole = Buffer::new(size);
    opened.medium.read_at(0, &mut whole).unwrap();
    assert_eq!(*whole, *expected);
    for (offset, len) in
        [(0, 1), (511, 2), (4095, 4098), (2 * MIB, 777), (size - 1, 1), (7, MIB + 9)]
    {
        let mut some = vec![0; len];
        opened.medium.read_at(offset as u64, &mut some).unwrap();
        assert_eq!(some, expected[offset..offset + len], "{len} at {offset}");
    }
    let mut tail = Buffer::new(4096);
    let end = (2 * MIB) as u64;
    lost(opened.medium.read_at(end, &mut tail));
    lost(opened.medium.read_at(u64::MAX, &mut tail));
    opened.medium.read_at(end, &mut tail[..777]).unwrap();
    opened.medium.check_presence().unwrap();
}

/// A-7: a file that becomes shorter is a lost source, not one with bad sectors, and no byte is made up.
#[test]
fn a_file_that_shrinks_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = file_of(folder.path(), 2 * MIB);
    let opened = open(&path).unwrap();
    let samples = opened.medium.samples().unwrap();
    assert_eq!(samples.len(), 2);
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(MIB as u64 + 512).unwrap();
    let mut buffer = Buffer::new(MIB);
    let text = lost(opened.medium.read_at(MIB as u64, &mut buffer));
    assert!(text.contains("ended after 512 without an error"), "{text}");
    let text = lost(opened.medium.check_presence());
    assert!(text.contains("had 2097152 bytes and has 1049088"), "{text}");
    lost(opened.medium.reconnect(&samples));
}

/// A-7: a file of the same length that somebody wrote to, and one that took its place.
#[test]
fn a_file_that_changes_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = file_of(folder.path(), MIB);
    let opened = open(&path).unwrap();
    let samples = opened.medium.samples().unwrap();
    opened.medium.reconnect(&samples).unwrap();
    let other = [Sample::of(0, b"other")];
    let text = lost(opened.medium.reconnect(&other));
    assert!(text.contains("expected d9298a10d1b0735837dc4bd85dac641b"), "{text}");
    let text = lost(opened.medium.reconnect(&[Sample { offset: u64::MAX, ..samples[0].clone() }]));
    assert!(text.contains("there are no"), "{text}");
    let written = fs::OpenOptions::new().append(true).open(&path).unwrap();
    written.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert!(lost(opened.medium.check_presence()).contains("was changed"));
    fs::rename(&path, folder.path().join("old")).unwrap();
    fs::write(&path, pattern(MIB)).unwrap();
    assert!(lost(opened.medium.reconnect(&samples)).contains("another file"));
    fs::remove_file(&path).unwrap();
    lost(opened.medium.check_presence());
}

/// A-1, A-7: a disk is claimed and set read-only; nothing else can be opened exclusively; its bytes are those of the file.
#[test]
fn a_loop_device_is_claimed_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let size = 3 * MIB + 512;
    let path = file_of(folder.path(), size);
    let Some(device) = Loop::of(&path, &[]) else { return skipped("no loop devices") };
    let mut opened = open(&device.node).unwrap();
    let disk = opened.identity.disk.clone().unwrap();
    assert_eq!(opened.identity.kind, SourceKind::Disk);
    assert_eq!(opened.medium.disk().as_ref(), Some(&disk));
    opened.guard.as_mut().unwrap().renew(&disk).unwrap();
    assert!(opened.guard.as_ref().unwrap().is_claimed());
    assert!(opened.hazards().is_empty(), "{:?}", opened.hazards());
    assert!(matches!(opened.ask(true).unwrap().smart, Asked::NotAsked { .. }));
    assert_eq!((opened.medium.len(), opened.medium.sector_bytes()), (size as u64, 512));
    assert!(opened.medium.is_direct());
    let backing = disk.loop_file.unwrap().backing_file;
    assert_eq!(Path::new(&backing), fs::canonicalize(&path).unwrap());
    let [state] = opened.identity.read_only.as_slice() else { panic!() };
    assert!(!state.was_read_only && state.is_read_only, "{state:?}");
    let writing = fs::OpenOptions::new().write(true).open(&device.node);
    assert!(writing.and_then(|mut file| file.write_all(&[0; 512])).is_err());
    assert!(matches!(open(&device.node), Err(OpenError::Refused(_))), "claimed twice");
    let guard = opened.guard.as_ref().unwrap();
    guard.check().unwrap();
    let mut whole = Buffer::new(size);
    opened.medium.read_at(0, &mut whole).unwrap();
    assert_eq!(*whole, *pattern(size));
    opened.medium.check_presence().unwrap();
    let samples = opened.medium.samples().unwrap();
    opened.medium.reconnect(&samples).unwrap();
    // Somebody makes it writable while it is read: the job has to stop.
    super::fixtures::run("blockdev", &["--setrw", device.node.to_str().unwrap()]).unwrap();
    assert!(guard.check().unwrap_err().contains("was read-only and is writable now"));
    let text = lost(opened.medium.check_presence());
    assert!(text.contains("was read-only and is writable"), "{text}");
    lost(opened.medium.reconnect(&samples));
}

/// A-7: another file behind the same name is refused, with what was expected and what was found.
#[test]
fn another_device_of_the_same_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = file_of(folder.path(), 2 * MIB);
    let other = folder.path().join("other.dd");
    fs::write(&other, vec![0x5A; 2 * MIB]).unwrap();
    let Some(device) = Loop::of(&path, &["-r"]) else { return skipped("no loop devices") };
    let medium = bare(&device.node);
    let samples = medium.samples().unwrap();
    let run = super::fixtures::run;
    let node = device.node.to_str().unwrap();
    // Detaching takes effect when the last descriptor is closed, so the medium is opened anew around it.
    drop(medium);
    let presence = |node: &Path| {
        let roots = Roots::default();
        let disk = roots.disk_of_number(number_of(node).unwrap()).unwrap();
        DevicePresence::new(roots, node, disk, None).unwrap()
    };
    let before = presence(&device.node);
    run("losetup", &["--detach", node]).unwrap();
    let other = other.to_str().unwrap();
    if run("losetup", &["-r", "--direct-io=on", "--sector-size", "512", node, other]).is_none() {
        return skipped("the loop device was taken meanwhile");
    }
    use crate::devices::presence::Presence as _;
    let text = before.find().unwrap_err();
    assert!(text.contains("other.dd") && text.contains("expected"), "{text}");
    // The same names and another content: the samples tell.
    let medium = bare(&device.node);
    let text = lost(medium.reconnect(&samples));
    assert!(text.contains("another medium") && text.contains(&samples[0].sha256), "{text}");
}

/// A-6, A-7: a bad sector is unreadable; when the server behind the device dies, the same error number means that the device is lost.
#[test]
fn a_bad_sector_is_unreadable_and_a_dead_server_is_a_lost_device() {
    let folder = tempfile::tempdir().unwrap();
    let size = 4 * MIB;
    let path = file_of(folder.path(), size);
    let map = folder.path().join("bad.map");
    let (bad, bad_len) = (MIB + 512, 512);
    let text = format!(
        "0x0 ? 1\n0x0 {bad:#x} +\n{bad:#x} {bad_len:#x} -\n{:#x} {:#x} +\n",
        bad + bad_len,
        size - bad - bad_len
    );
    fs::write(&map, text).unwrap();
    let arguments = [
        "--filter=ddrescue".to_owned(),
        "file".to_owned(),
        path.to_str().unwrap().to_owned(),
        format!("ddrescue-mapfile={}", map.to_str().unwrap()),
    ];
    let Some(nbd) = Nbd::new(&arguments) else { return skipped("no nbdfuse and nbdkit") };
    let Some(device) = Loop::of(&nbd.file(), &["-r"]) else { return skipped("no loop devices") };
    let medium = bare(&device.node);
    let expected = pattern(size);
    let mut buffer = Buffer::new(MIB);
    medium.read_at(0, &mut buffer).unwrap();
    assert_eq!(*buffer, expected[..MIB]);
    let unreadable = |offset: usize, len: usize| {
        let mut buffer = Buffer::new(len);
        match medium.read_at(offset as u64, &mut buffer) {
            Err(MediumError::Unreadable(error)) => assert_eq!(error.raw_os_error(), Some(5)),
            other => panic!("{other:?}"),
        }
    };
    unreadable(MIB, MIB);
    unreadable(bad, 512);
    for offset in [bad - 512, bad + 512] {
        let mut sector = Buffer::new(512);
        medium.read_at(offset as u64, &mut sector).unwrap();
        assert_eq!(*sector, expected[offset..offset + 512]);
    }
    // The first MiB can be read, the last one too: samples around the bad sector.
    let samples = medium.samples().unwrap();
    medium.reconnect(&samples).unwrap();
    nbd.kill_server();
    let text = lost(medium.read_at(2 * MIB as u64, &mut buffer));
    assert!(text.contains("cannot be read any more"), "{text}");
    assert!(Roots::default().disk(&device.name()).is_some(), "the device itself stays");
    lost(medium.check_presence());
    lost(medium.reconnect(&samples));
}

/// A-7: where the beginning cannot be read, a smaller sample stands for it.
#[test]
fn samples_go_around_what_is_bad() {
    let folder = tempfile::tempdir().unwrap();
    let size = 4 * MIB;
    let path = file_of(folder.path(), size);
    let map = folder.path().join("bad.map");
    let rest = size - 4096;
    fs::write(&map, format!("0x0 ? 1\n0x0 0x1000 -\n0x1000 {rest:#x} +\n")).unwrap();
    let map = format!("ddrescue-mapfile={}", map.to_str().unwrap());
    let file = path.to_str().unwrap().to_owned();
    let arguments = ["--filter=ddrescue".to_owned(), "file".to_owned(), file, map];
    let Some(nbd) = Nbd::new(&arguments) else { return skipped("no nbdfuse and nbdkit") };
    let Some(device) = Loop::of(&nbd.file(), &["-r"]) else { return skipped("no loop devices") };
    let samples = bare(&device.node).samples().unwrap();
    let places: Vec<_> = samples.iter().map(|sample| (sample.offset, sample.len)).collect();
    assert_eq!(places, [(4096, 4096), (3 * MIB as u64, MIB as u64)]);
}

/// A partition is a source of its own; the guard covers the whole disk.
#[test]
fn a_partition_of_a_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = file_of(folder.path(), 4 * MIB);
    let bytes = pattern(4 * MIB);
    let Some(device) = Loop::of(&path, &[]) else { return skipped("no loop devices") };
    // Not every kernel reads partition tables; every one can be told of a partition.
    let told = ["1", "2048", "4096"];
    let arguments: Vec<_> = [device.node.to_str().unwrap()].into_iter().chain(told).collect();
    if super::fixtures::run("addpart", &arguments).is_none() {
        return skipped("loop devices have no partitions here");
    }
    let node = std::path::PathBuf::from(format!("{}p1", device.node.display()));
    let opened = open(&node).unwrap();
    assert_eq!(opened.identity.kind, SourceKind::Partition);
    assert_eq!((opened.identity.size, opened.medium.len()), (2 * MIB as u64, 2 * MIB as u64));
    let names: Vec<_> = opened.identity.read_only.iter().map(|state| &state.name).collect();
    assert_eq!(names, [&device.name(), &format!("{}p1", device.name())]);
    assert!(opened.guard.as_ref().unwrap().is_read_only());
    let mut buffer = Buffer::new(2 * MIB);
    opened.medium.read_at(0, &mut buffer).unwrap();
    assert_eq!(*buffer, bytes[MIB..3 * MIB]);
    opened.medium.reconnect(&opened.medium.samples().unwrap()).unwrap();
    assert!(matches!(open(&device.node), Err(OpenError::Refused(_))), "the disk is claimed");
}

/// A-1: a disk with a mounted file system is refused, and while one is read nobody can mount it.
#[test]
fn mounted_is_refused_and_claimed_cannot_be_mounted() {
    use super::fixtures::{Mounted, run};
    let folder = tempfile::tempdir().unwrap();
    let path = file_of(folder.path(), 4 * MIB);
    let Some(device) = Loop::of(&path, &[]) else { return skipped("no loop devices") };
    let node = device.node.to_str().unwrap();
    if run("mkfs.ext2", &["-q", "-F", node]).is_none() {
        return skipped("no mkfs.ext2");
    }
    let point = tempfile::tempdir().unwrap();
    let Some(mounted) = Mounted::new(node, point.path()) else {
        return skipped("mounts are not allowed");
    };
    match open(&device.node) {
        Err(OpenError::Refused(refused)) => {
            let text = refused.to_string();
            assert!(text.contains("is mounted read-only at"), "{text}");
        }
        _ => panic!("opened although it is mounted"),
    }
    drop(mounted);
    let opened = open(&device.node).unwrap();
    assert!(Mounted::new(node, point.path()).is_none(), "mounted although it is claimed");
    drop(opened);
}
