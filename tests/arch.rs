//! The arrows between crates, those of the boards too, and two rules on what they are made of, checked with `cargo metadata`.
//!
//! The compiler keeps a crate from naming what it does not depend on; this keeps the dependencies themselves in the
//! order of the layers: core, then image and media, then formats, with the program on top. The generator
//! depends on nothing, so that what it writes is not what the readers believe.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a check that cannot be made has to fail

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::Path,
    process::Command,
};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// What each crate may depend on inside the workspace, for whatever purpose. A new crate needs a line.
const ARROWS: &[(&str, &[&str])] = &[
    ("daleel-core", &[]),
    ("daleel-image", &["daleel-core"]),
    ("daleel-media", &["daleel-core"]),
    ("daleel-timeline", &["daleel-core"]),
    ("daleel-formats", &["daleel-core", "daleel-image", "daleel-media"]),
    ("daleel-generator", &[]),
    ("wb-policy", &[]),
    ("wb-attest", &[]),
    ("wb-bridge", &["wb-attest", "wb-policy"]),
    ("wb-sim", &["wb-attest", "wb-bridge", "wb-policy"]),
    ("daleel-acquire", &["daleel-core", "daleel-image", "wb-attest", "wb-policy"]),
    (
        "daleel",
        &[
            "daleel-acquire",
            "daleel-core",
            "daleel-formats",
            "daleel-generator",
            "daleel-image",
            "daleel-media",
            "daleel-timeline",
            "wb-attest",
            "wb-bridge",
            "wb-policy",
            // For `bridge self-test`.
            "wb-sim",
        ],
    ),
    (
        "daleel-tests",
        &[
            "daleel",
            "daleel-acquire",
            "daleel-core",
            "daleel-formats",
            "daleel-generator",
            "daleel-image",
            "daleel-media",
            "daleel-timeline",
            // For the fuzz targets of the write blocker.
            "wb-attest",
            "wb-bridge",
            "wb-policy",
            "wb-sim",
        ],
    ),
    ("xtask", &[]),
];

/// What each crate of the boards' own workspace may depend on inside the repository, by its place below `firmware`. A new one needs a line.
const BOARD_ARROWS: &[(&str, &[&str])] = &[
    ("boards/chipidea", &["bridge", "policy"]),
    ("boards/cost", &["attest", "bridge", "policy"]),
    ("boards/imx6ul-qemu", &["attest", "boards/chipidea", "bridge", "policy"]),
    ("boards/imxrt", &["attest", "boards/chipidea", "boards/log", "bridge", "policy"]),
    ("boards/log", &[]),
    ("boards/pico", &["attest", "boards/log", "bridge", "policy"]),
];

/// What belongs to the program alone: a parser prints nothing, schedules nothing and reads no arguments.
const PROGRAM_ONLY: [&str; 3] = ["clap", "tokio", "tracing-subscriber"];

/// Crates that build C or C++ code.
const C_BUILDERS: [&str; 4] = ["autotools", "bindgen", "cc", "cmake"];

/// The workspace with all that is built for this machine.
fn workspace() -> Metadata {
    let version = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--filter-platform".to_owned(), host.to_owned()])
        .exec()
        .unwrap()
}

/// The boards' workspace as its manifests say, for no machine in particular; nothing has to be fetched for that.
fn boards() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("firmware/Cargo.toml"))
        .no_deps()
        .other_options(["--locked".to_owned(), "--offline".to_owned()])
        .exec()
        .unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn is_parser(package: &Package) -> bool {
    package.manifest_path.as_std_path().starts_with(root().join("parsers"))
}

/// A place below `firmware`, with `/` on every system.
fn place_in_firmware(path: &Path) -> Option<String> {
    let place = path.strip_prefix(root().join("firmware")).ok()?;
    Some(place.to_string_lossy().replace('\\', "/"))
}

fn is_firmware(package: &Package) -> bool {
    package.manifest_path.as_std_path().starts_with(root().join("firmware"))
}

#[test]
fn every_dependency_inside_the_workspace_is_an_allowed_arrow() {
    let workspace = workspace();
    let members: BTreeSet<_> =
        workspace.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    for package in workspace.workspace_packages() {
        let (_, allowed) = ARROWS
            .iter()
            .find(|(name, _)| *name == package.name.as_str())
            .unwrap_or_else(|| panic!("{} has no line in the table of arrows", package.name));
        // A crate may name itself for its tests, with more features.
        let others = package.dependencies.iter().filter(|d| package.name.as_str() != d.name);
        for dependency in others.filter(|d| members.contains(&d.name)) {
            assert!(
                allowed.contains(&dependency.name.as_str()),
                "{} -> {} ({:?}) is no arrow of the architecture",
                package.name,
                dependency.name,
                dependency.kind
            );
        }
    }
    for (name, _) in ARROWS {
        assert!(
            members.contains(*name),
            "{name} is in the table of arrows and not in the workspace"
        );
    }
}

/// An image is made of the shared crates and of what only boards have: no host, no parser, and no model of a drive.
#[test]
fn every_dependency_of_a_board_is_an_allowed_arrow() {
    let members: BTreeSet<_> =
        workspace().workspace_packages().iter().map(|package| package.name.to_string()).collect();
    let boards = boards();
    let mut seen = BTreeSet::new();
    for package in boards.workspace_packages() {
        let own = package.manifest_path.parent().unwrap();
        let own = place_in_firmware(own.as_std_path()).unwrap();
        let (_, allowed) = BOARD_ARROWS
            .iter()
            .find(|(place, _)| *place == own)
            .unwrap_or_else(|| panic!("{own} has no line in the table of the boards' arrows"));
        for dependency in &package.dependencies {
            let is_allowed = match &dependency.path {
                Some(path) => place_in_firmware(path.as_std_path())
                    .is_some_and(|place| allowed.contains(&place.as_str())),
                // A crate of ours from a registry would be another one of the same name.
                None => !members.contains(&dependency.name),
            };
            assert!(is_allowed, "{own} -> {} ({:?})", dependency.name, dependency.kind);
        }
        seen.insert(own);
    }
    let expected = BOARD_ARROWS.iter().map(|(place, _)| (*place).to_owned()).collect();
    assert_eq!(seen, expected, "the table of the boards' arrows and their workspace");
}

/// Board crates may have unsafe code; nothing else may.
#[test]
fn nothing_depends_on_a_board() {
    let boards = root().join("firmware/boards");
    for package in workspace().packages {
        let manifest = package.manifest_path.as_std_path();
        assert!(!manifest.starts_with(&boards), "{} is a board's", package.name);
        // Also what is left out on this machine.
        for path in package.dependencies.iter().filter_map(|dependency| dependency.path.as_ref()) {
            assert!(!path.as_std_path().starts_with(&boards), "{} -> {path}", package.name);
        }
    }
}

/// The table above would allow it only by mistake, and the benchmark would be worth nothing.
#[test]
fn the_generator_shares_no_code_with_the_readers() {
    let workspace = workspace();
    let packages = workspace.workspace_packages();
    let readers: BTreeSet<_> =
        packages.iter().filter(|p| is_parser(p)).map(|p| p.name.to_string()).collect();
    assert!(readers.len() >= 5, "{readers:?}");
    let generator = packages.iter().find(|p| p.name.as_str() == "daleel-generator").unwrap();
    for dependency in &generator.dependencies {
        assert!(!readers.contains(&dependency.name), "{:?} {}", dependency.kind, dependency.name);
    }
}

#[test]
fn parsers_need_no_program_crates_and_no_c_compiler() {
    let workspace = workspace();
    for package in workspace.workspace_packages().into_iter().filter(|package| is_parser(package)) {
        let needed = needed(&workspace, &package.id);
        let may_have_sqlite = needed.contains("daleel-formats");
        assert!(may_have_sqlite || !needed.contains(SQLITE), "{} needs {SQLITE}", package.name);
        for name in PROGRAM_ONLY.iter().chain(&C_BUILDERS) {
            assert!(!needed.contains(*name), "{} needs {name}", package.name);
        }
    }
}

/// What runs on a board is compiled by Rust alone, and its model too.
#[test]
fn firmware_needs_no_program_crates_and_no_c_compiler() {
    let workspace = workspace();
    let packages: Vec<_> =
        workspace.workspace_packages().into_iter().filter(|package| is_firmware(package)).collect();
    assert!(packages.len() >= 4, "{packages:?}");
    for package in packages {
        let needed = needed(&workspace, &package.id);
        for name in PROGRAM_ONLY.iter().chain(&C_BUILDERS).chain([&SQLITE]) {
            assert!(!needed.contains(*name), "{} needs {name}", package.name);
        }
    }
}

/// The model drive and the simulated bridge are in the program for one reason: `bridge self-test`.
#[test]
fn the_simulator_is_named_by_the_self_test_alone() {
    let folder = root().join("host-cli/src");
    let mut queue = vec![folder.clone()];
    let mut naming = BTreeSet::new();
    while let Some(path) = queue.pop() {
        if path.is_dir() {
            queue.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if fs::read_to_string(&path).unwrap().contains("wb_sim::") {
            let name = path.strip_prefix(&folder).unwrap().to_string_lossy().replace('\\', "/");
            naming.insert(name);
        }
    }
    let expected = ["bridge/selftest.rs", "bridge/sim.rs"].map(str::to_owned);
    assert_eq!(naming, BTreeSet::from(expected));
}

/// The one exception: a recorder's own SQLite index is read with SQLite itself (`docs/decisions/0006-sqlite.md`).
const SQLITE: &str = "libsqlite3-sys";

/// Names of all crates that building `package` takes, tests left out, and what SQLite is built with.
fn needed(workspace: &Metadata, package: &PackageId) -> BTreeSet<String> {
    let nodes: BTreeMap<_, _> =
        workspace.resolve.as_ref().unwrap().nodes.iter().map(|node| (&node.id, node)).collect();
    let mut queue = VecDeque::from([package]);
    let mut seen = BTreeSet::from([package]);
    while let Some(id) = queue.pop_front() {
        for dependency in &nodes[id].deps {
            let is_built =
                dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development);
            let is_sqlite = workspace[&dependency.pkg].name.as_str() == SQLITE;
            if is_built && seen.insert(&dependency.pkg) && !is_sqlite {
                queue.push_back(&dependency.pkg);
            }
        }
    }
    seen.into_iter().map(|id| workspace[id].name.to_string()).collect()
}

/// `forbid` cannot be lifted further down, so a table that has it and is inherited is enough. The crate that talks to devices denies
/// it instead, and lifts that for one module.
#[test]
fn unsafe_code_is_forbidden_in_every_crate_and_allowed_in_one_module() {
    let manifest = |path: &Path| fs::read_to_string(path).unwrap();
    let shared = manifest(&root().join("Cargo.toml"));
    assert!(has_line(&shared, "[workspace.lints.rust]", "unsafe_code = \"forbid\""));
    for package in workspace().workspace_packages() {
        let own = manifest(package.manifest_path.as_std_path());
        if package.name.as_str() == "daleel-acquire" {
            assert!(has_line(&own, "[lints.rust]", "unsafe_code = \"deny\""));
            assert!(has_line(&own, "[lints.clippy]", "undocumented_unsafe_blocks = \"deny\""));
            assert_eq!(
                lifting(package.manifest_path.as_std_path().parent().unwrap()),
                ["src/ioctl.rs"]
            );
            continue;
        }
        let inherits = has_line(&own, "[lints]", "workspace = true");
        assert!(inherits, "{} does not inherit the lints of the workspace", package.name);
    }
}

/// Source files of a package in which unsafe code is allowed.
fn lifting(package: &Path) -> Vec<String> {
    let mut queue = vec![package.join("src")];
    let mut found = Vec::new();
    while let Some(path) = queue.pop() {
        if path.is_dir() {
            queue.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if fs::read_to_string(&path).unwrap().contains("unsafe_code") {
            let name = path.strip_prefix(package).unwrap().to_string_lossy().replace('\\', "/");
            found.push(name);
        }
    }
    found
}

/// Whether a section of a manifest has a line.
fn has_line(manifest: &str, section: &str, line: &str) -> bool {
    let lines = manifest.lines().map(str::trim).skip_while(|found| *found != section).skip(1);
    lines.take_while(|found| !found.starts_with('[')).any(|found| found == line)
}
