//! The program as a process, and evidence to run it on.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use daleel_generator::{Truth, truth::Frame, write_scenario};
use daleel_tests::judge::{Extracted, sha256};

/// The program.
pub const DALEEL: &str = env!("CARGO_BIN_EXE_daleel-under-test");

/// A scenario in a folder of its own, in which the program runs: paths in its output are file names.
pub struct Evidence {
    folder: tempfile::TempDir,
    /// What is on the image.
    pub truth: Truth,
}

impl Evidence {
    /// Writes a scenario.
    pub fn new(scenario: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let truth = write_scenario(scenario, folder.path(), 7).unwrap();
        Self { folder, truth }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Name of the image in it.
    pub fn image(&self) -> &str {
        &self.truth.image
    }

    /// Bytes of the image.
    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.path().join(self.image())).unwrap()
    }

    /// Runs the program in the folder.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        run(self.path(), arguments)
    }

    /// Runs `extract` into a folder beside the image.
    pub fn extract(&self, source: &str, out: &str, more: &[&str]) -> Extracted {
        let mut arguments = vec!["extract", source, "--out", out];
        arguments.extend(more);
        self.run(&arguments).ends_with_any_of(&[0, 1]);
        Extracted::read(&self.path().join(out))
    }
}

/// What a run gave.
pub struct Ran {
    /// The arguments, for reports.
    pub command: String,
    /// Exit code; none after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Reads the output of a process.
    pub fn new(command: String, output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap().replace("daleel-under-test", "daleel");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        Self { command, code: output.status.code(), stdout, stderr }
    }

    /// Asserts the exit code.
    pub fn is(self, code: i32) -> Self {
        self.ends_with_any_of(&[code])
    }

    /// Asserts one of several exit codes.
    pub fn ends_with_any_of(self, codes: &[i32]) -> Self {
        let fits = self.code.is_some_and(|code| codes.contains(&code));
        let said = format!("{}{}", self.stdout, self.stderr);
        assert!(fits, "`{}`: {:?}, expected {codes:?}\n{said}", self.command, self.code);
        self
    }

    /// Standard output as one JSON document.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("`{}`: {error}\n{}", self.command, self.stdout))
    }
}

/// The program in a folder, without a terminal.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(DALEEL);
    command.current_dir(folder).args(arguments).env_remove("COLUMNS").env_remove("LINES");
    command
}

/// Runs the program in a folder.
pub fn run(folder: &Path, arguments: &[&str]) -> Ran {
    let output = command(folder, arguments).output().unwrap();
    Ran::new(format!("daleel {}", arguments.join(" ")), output)
}

/// The verbs, as the program's own help names them.
pub fn verbs() -> Vec<String> {
    let help = run(Path::new("."), &["--help"]).is(0).stdout;
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = commands.lines().map(|line| line.split_whitespace().next().unwrap().to_owned());
    let verbs: Vec<String> = names.filter(|name| name != "help").collect();
    assert!(verbs.len() >= 8, "{verbs:?}");
    verbs
}

/// Every file and folder below a folder with the digest of its content: what a run must not change.
pub fn content(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
                found.insert(path, "folder".to_owned());
            } else {
                // A link to nothing has no content.
                let digest = if path.exists() { sha256(&path) } else { "link".to_owned() };
                found.insert(path, digest);
            }
        }
    }
    found
}

/// `SHA256SUMS` of an output folder.
pub fn sums(folder: &Path) -> String {
    fs::read_to_string(folder.join("SHA256SUMS")).unwrap()
}

/// The part of `SHA256SUMS` that does not depend on the name of the source.
pub fn sums_of_clips(folder: &Path) -> Vec<String> {
    let sums = sums(folder);
    sums.lines().filter(|line| !line.ends_with("summary.json")).map(str::to_owned).collect()
}

/// True when a byte of the frame, headers included, lies in one of the ranges.
pub fn touches(frame: &Frame, ranges: &[[u64; 2]]) -> bool {
    let own = frame.extents.iter();
    own.into_iter().any(|own| ranges.iter().any(|range| overlap(*own, *range)))
}

/// True when two `[offset, length]` share a byte.
pub fn overlap([a, a_length]: [u64; 2], [b, b_length]: [u64; 2]) -> bool {
    a < b + b_length && b < a + a_length
}
