//! Things that have to be taken down again, whatever happens.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::devices::sysfs::Roots;

/// Says that a test did not run, or fails where everything has to be there.
pub(super) fn skipped(why: &str) {
    assert!(env::var_os("DALEEL_REQUIRE_ORACLES").is_none(), "required: {why}");
    // The test's own answer: the lint is about the library.
    #[allow(clippy::print_stderr)]
    {
        eprintln!("SKIPPED: {why}");
    }
}

/// Runs a program; its output when it succeeds.
pub(super) fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// A file shown as a disk.
pub(super) struct Loop {
    pub(super) node: PathBuf,
}

impl Loop {
    pub(super) fn of(file: &Path, more: &[&str]) -> Option<Self> {
        let base = ["--find", "--show", "--direct-io=on", "--sector-size", "512"];
        let arguments: Vec<&str> =
            base.iter().chain(more).copied().chain([file.to_str().unwrap()]).collect();
        let node = run("losetup", &arguments)?;
        Some(Self { node: node.into() })
    }

    pub(super) fn name(&self) -> String {
        self.node.file_name().unwrap().to_string_lossy().into_owned()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let node = self.node.to_string_lossy().into_owned();
        // The flag outlives the file behind a loop device, and the next one to use it would find it set.
        let _ = run("delpart", &[&node, "1"]);
        let _ = run("blockdev", &["--setrw", &node]);
        let _ = run("losetup", &["--detach", &node]);
    }
}

/// A disk whose reads nbdkit answers, as a file of a FUSE file system.
pub(super) struct Nbd {
    folder: TempDir,
    fuse: Child,
}

impl Nbd {
    /// `arguments` are nbdkit's.
    pub(super) fn new(arguments: &[String]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("nbd"), b"").unwrap();
        let mut command = Command::new("nbdfuse");
        command.arg(folder.path().join("nbd")).args(["[", "nbdkit"]);
        let pid = folder.path().with_extension("pid");
        command.arg("-P").arg(&pid).args(arguments).arg("]");
        let fuse = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let nbd = Self { folder, fuse };
        let started = Instant::now();
        while fs::metadata(nbd.file()).is_ok_and(|data| data.len() == 0) {
            if started.elapsed() > Duration::from_secs(10) {
                return None;
            }
            thread::sleep(Duration::from_millis(50));
        }
        Some(nbd)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("nbd")
    }

    /// The server goes away; the device stays and fails.
    pub(super) fn kill_server(&self) {
        let pid = self.folder.path().with_extension("pid");
        let pid = fs::read_to_string(pid).unwrap();
        run("kill", &["-9", pid.trim()]).unwrap();
    }
}

impl Drop for Nbd {
    fn drop(&mut self) {
        let _ = run("fusermount3", &["-u", "-z", self.file().to_str().unwrap()])
            .or_else(|| run("umount", &["-l", self.file().to_str().unwrap()]));
        let _ = self.fuse.kill();
        let _ = self.fuse.wait();
        let _ = fs::remove_file(self.folder.path().with_extension("pid"));
    }
}

/// Bytes that differ at every place.
pub(super) fn pattern(size: usize) -> Vec<u8> {
    let words = (0..size.div_ceil(8) as u64).map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    words.flat_map(u64::to_le_bytes).take(size).collect()
}

/// A tree below which a computer is made up.
pub(super) struct Tree(TempDir);

impl Tree {
    pub(super) fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(tree.0.path().join("sys/block")).unwrap();
        fs::create_dir_all(tree.0.path().join("dev")).unwrap();
        tree
    }

    pub(super) fn roots(&self) -> Roots {
        Roots::at(self.0.path())
    }

    /// Writes files, each as `path=text`.
    pub(super) fn files(&self, folder: &str, files: &[&str]) -> &Self {
        for file in files {
            let (name, text) = file.split_once('=').unwrap();
            self.bytes(&format!("{folder}/{name}"), format!("{text}\n").as_bytes());
        }
        self
    }

    pub(super) fn bytes(&self, path: &str, bytes: &[u8]) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    /// A disk at a place on the buses, with its usual files.
    pub(super) fn disk(&self, bus: &str, name: &str, dev: &str, sectors: u64) -> String {
        let folder = format!("sys/devices/{bus}/block/{name}");
        self.files(
            &folder,
            &[
                &format!("dev={dev}"),
                &format!("size={sectors}"),
                "ro=0",
                "removable=0",
                "queue/logical_block_size=512",
                "queue/physical_block_size=4096",
                "queue/rotational=1",
            ],
        );
        let link = self.0.path().join("sys/block").join(name);
        std::os::unix::fs::symlink(format!("../devices/{bus}/block/{name}"), link).unwrap();
        self.bytes(&format!("dev/{name}"), b"");
        folder
    }

    /// The `device` of a disk is the directory above `block`.
    pub(super) fn device(&self, bus: &str, name: &str, files: &[&str]) {
        self.files(&format!("sys/devices/{bus}"), files);
        let link = self.0.path().join(format!("sys/devices/{bus}/block/{name}/device"));
        std::os::unix::fs::symlink("../..", link).unwrap();
    }

    pub(super) fn partition(&self, disk: &str, index: u32, dev: &str, start: u64, sectors: u64) {
        let name = disk.rsplit('/').next().unwrap();
        let folder = format!("{disk}/{name}{index}");
        let start = format!("start={start}");
        let (dev, size) = (format!("dev={dev}"), format!("size={sectors}"));
        self.files(&folder, &[&format!("partition={index}"), &dev, &start, &size, "ro=0"]);
    }
}

/// A mounted file system.
pub(super) struct Mounted(PathBuf);

impl Mounted {
    pub(super) fn new(node: &str, point: &Path) -> Option<Self> {
        run("mount", &["-o", "ro", node, point.to_str().unwrap()])?;
        Some(Self(point.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = run("umount", &[self.0.to_str().unwrap()]);
    }
}
