//! What `extract` writes where, what it never touches, and that it writes the same twice (U-6, A-1, C-5).

use std::{fs, path::Path, time::SystemTime};

use daleel_tests::judge::{Allow, Extracted, compare, sha256};

use crate::run::{Evidence, content, run, sums};

/// U-6: a folder with anything in it is refused, and left as it is.
#[test]
fn a_folder_in_use_is_refused_and_untouched() {
    let evidence = Evidence::new("dahua-intact");
    fs::create_dir_all(evidence.path().join("used/clips")).unwrap();
    fs::write(evidence.path().join("used/clips/mine.mp4"), "mine").unwrap();
    fs::write(evidence.path().join("file"), "mine too").unwrap();
    let before = content(evidence.path());
    for out in ["used", "used/clips", "file", "file/below", "."] {
        for more in [&[][..], &["--resume"]] {
            let arguments = [&["extract", evidence.image(), "--out", out][..], more].concat();
            let ran = evidence.run(&arguments).is(4);
            assert_ne!(ran.stderr, "");
            assert!(content(evidence.path()) == before, "`{}` touched something", ran.command);
        }
    }
}

/// U-6: the folder of a finished run is in use as well.
#[test]
fn a_finished_run_is_not_overwritten() {
    let evidence = Evidence::new("dav-plain-h264");
    evidence.extract(evidence.image(), "out", &[]);
    let before = content(evidence.path());
    evidence.run(&["extract", evidence.image(), "--out", "out"]).is(4);
    evidence.run(&["extract", evidence.image(), "--out", "out", "--resume"]).is(4);
    assert!(content(evidence.path()) == before);
}

/// An empty folder is as good as none, and folders above are made.
#[test]
fn an_empty_folder_and_a_new_path_are_used() {
    let evidence = Evidence::new("dav-plain-h264");
    fs::create_dir(evidence.path().join("empty")).unwrap();
    evidence.extract(evidence.image(), "empty", &[]).check_contract();
    evidence.extract(evidence.image(), "new/path/to it", &[]).check_contract();
}

/// U-6: nothing is written on the source, whatever it is made of and however it is called.
#[test]
fn an_output_on_the_source_is_refused() {
    let evidence = Evidence::new("dahua-intact");
    let image = evidence.image();
    let folder = evidence.path();
    fs::create_dir_all(folder.join("davs/cam")).unwrap();
    let dav = Evidence::new("dav-plain-h264");
    fs::write(folder.join("davs/cam/a.dav"), dav.bytes()).unwrap();
    fs::write(folder.join("disk.map"), format!("0x0 +\n0x0 {} +\n", evidence.bytes().len()))
        .unwrap();
    let bytes = evidence.bytes();
    for (n, piece) in bytes.chunks(8 << 20).enumerate() {
        fs::write(folder.join(format!("split.{:03}", n + 1)), piece).unwrap();
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("davs/cam", folder.join("link")).unwrap();
        std::os::unix::fs::symlink(image, folder.join("image-link")).unwrap();
        fs::hard_link(folder.join(image), folder.join("image-hard-link")).unwrap();
    }
    let absolute = folder.join("davs/out");
    let mut cases = vec![
        (image, image, &[][..]),
        (image, "disk.map", &["--map", "disk.map"]),
        ("split.001", "split.002", &[]),
        ("davs", "davs", &[]),
        ("davs", "davs/out", &[]),
        ("davs", "davs/cam/new/deeper", &[]),
        ("davs", "./davs/../davs/out", &[]),
        ("davs", absolute.to_str().unwrap(), &[]),
        ("davs/cam/a.dav", "davs/cam/a.dav", &[]),
    ];
    let below = format!("{image}/out");
    cases.push((image, &below, &[]));
    if cfg!(unix) {
        cases.push(("davs", "link/out", &[]));
        cases.push(("link", "davs/cam/out", &[]));
        cases.push((image, "image-link", &[]));
        cases.push((image, "image-hard-link", &[]));
    }
    let before = content(folder);
    for (source, out, more) in cases {
        for dry in [&[][..], &["--dry-run"]] {
            let arguments = [&["extract", source, "--out", out][..], more, dry].concat();
            let ran = evidence.run(&arguments).is(4);
            assert!(content(folder) == before, "`{}` touched something", ran.command);
        }
    }
}

/// U-6: nor when the path leads there over a link to nothing, or through a folder that does not exist yet and back.
#[test]
fn an_output_on_the_source_is_refused_by_any_path() {
    let dav = Evidence::new("dav-plain-h264");
    fs::create_dir(dav.path().join("davs")).unwrap();
    fs::write(dav.path().join("davs/a.dav"), dav.bytes()).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("davs/new", dav.path().join("link")).unwrap();
    let before = content(dav.path());
    for out in ["link", "link/out", "nowhere/../davs/out"] {
        if cfg!(unix) || !out.starts_with("link") {
            let ran = dav.run(&["extract", "davs", "--out", out]).is(4);
            assert!(content(dav.path()) == before, "`{}` touched something", ran.command);
        }
    }
}

/// U-6: a folder beside the source folder whose name begins alike is another folder.
#[test]
fn a_folder_beside_the_source_folder_is_not_on_it() {
    let dav = Evidence::new("dav-plain-h264");
    fs::create_dir(dav.path().join("davs")).unwrap();
    fs::write(dav.path().join("davs/a.dav"), dav.bytes()).unwrap();
    dav.extract("davs", "davs-out", &[]).check_contract();
}

/// U-6: a dry run shows the plan and writes nothing.
#[test]
fn a_dry_run_writes_nothing() {
    let evidence = Evidence::new("dahua-intact");
    let before = content(evidence.path());
    let arguments = ["extract", evidence.image(), "--out", "out", "--dry-run"];
    let all = evidence.run(&arguments).is(0);
    let listed = evidence.truth.listed().count();
    assert!(all.stdout.contains(&format!("{listed} recordings")) && all.stdout.contains("out"));
    let one = evidence.run(&[&arguments[..], &["--channel", "1"]].concat()).is(0);
    assert!(one.stdout.contains(&format!("{} recordings", listed / 2)), "{}", one.stdout);
    assert!(content(evidence.path()) == before);
}

/// the source has the same bytes and the same times after every verb, and a write-protected one is read as well.
#[test]
fn the_source_is_only_read() {
    let evidence = Evidence::new("dahua-audio");
    let image = evidence.path().join(evidence.image());
    let long_ago = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    fs::File::options().write(true).open(&image).unwrap().set_modified(long_ago).unwrap();
    let mut permissions = fs::metadata(&image).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&image, permissions).unwrap();
    let state = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        (sha256(path), metadata.modified().unwrap(), metadata.permissions(), metadata.len())
    };
    let before = state(&image);
    let out = tempfile::tempdir().unwrap();
    let source = image.to_str().unwrap();
    for arguments in [
        &["identify", source][..],
        &["list", source],
        &["show", source, "--at", "0"],
        &["logs", source],
        &["extract", source, "--out", "out", "--native"],
        &["extract", source, "--out", "again", "--from", "2024-03-14"],
    ] {
        run(out.path(), arguments).is(0);
        assert!(state(&image) == before, "{arguments:?}");
    }
    assert_eq!(before.1, long_ago);
    let beside = content(evidence.path()).len();
    assert_eq!(beside, 2, "nothing but the image and its truth");
    let extracted = Extracted::read(&out.path().join("out"));
    extracted.check_contract();
    compare(&evidence.truth, &extracted, Allow::default());
}

/// The program keeps what it writes in the output folder: no files elsewhere, none left over in it.
#[test]
fn nothing_is_written_outside_the_output_folder() {
    let evidence = Evidence::new("dahua-stills");
    let before = content(evidence.path());
    evidence.extract(evidence.image(), "out", &["--native"]).check_contract();
    let after = content(evidence.path());
    let out = evidence.path().join("out");
    assert!(after.iter().filter(|(path, _)| !path.starts_with(&out)).eq(&before));
    let top: Vec<_> = after
        .keys()
        .filter(|path| path.parent() == Some(&out))
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(top, ["SHA256SUMS", "clips", "clips.jsonl", "other.jsonl", "summary.json"]);
}

/// The demo makes a disk and takes it through the verbs; what it extracts is what it wrote.
#[test]
fn the_demo_extracts_what_it_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["demo", "--out", "demo"]).ends_with_any_of(&[0, 1]);
    for heading in ["daleel identify", "daleel list", "daleel extract"] {
        assert!(ran.stdout.contains(heading), "{}", ran.stdout);
    }
    let truth = daleel_generator::Truth::load(&folder.path().join("demo")).unwrap();
    let extracted = Extracted::read(&folder.path().join("demo/footage"));
    extracted.check_contract();
    compare(&truth, &extracted, Allow::default());
    let before = content(folder.path());
    run(folder.path(), &["demo", "--out", "demo"]).is(4);
    assert!(content(folder.path()) == before);
}

/// C-5: the same image and options give the same bytes.
#[test]
fn two_runs_give_the_same_bytes() {
    for scenario in [
        "dahua-audio",
        "dahua-stills",
        "dahua-encrypted",
        "dahua-damaged-frames",
        "dav-audio-pcm16",
    ] {
        let evidence = Evidence::new(scenario);
        for (out, again, more) in [
            ("a", "b", &["--native"][..]),
            ("c", "d", &["--from", "2024-03-14T00:00", "--clock-step", "exact"]),
        ] {
            evidence.extract(evidence.image(), out, more).check_contract();
            evidence.extract(evidence.image(), again, more);
            let sums = [out, again].map(|out| sums(&evidence.path().join(out)));
            assert!(sums[0].lines().count() > 3, "{scenario}");
            assert_eq!(sums[0], sums[1], "{scenario} {more:?}");
        }
    }
}
