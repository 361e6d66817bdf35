//! The Linux guest of `firmware/guest`: starting it, and reading what it prints.
//!
//! Facts: firmware/guest/README.md (words of its command line, the lines and their fields). A line that is not understood is kept and
//! means nothing; whether a run says enough is for the caller to decide, and a run without [`Run::is_whole`] says nothing.

use std::{
    fmt::Write as _,
    fs,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use wb_attest::sha256;

/// What goes into the guest and is kept with its digest in the stamp of `prepare.sh`.
const STAMPED: [&str; 9] = [
    "prepare.sh",
    "copy.sh",
    "init",
    "lib.sh",
    "identity.sh",
    "read.sh",
    "attack.sh",
    "bridge.sh",
    "acquire.sh",
];
/// Memory of a guest that holds more than its own programs, in MiB.
const EXTENDED_MEMORY: &str = "512";

/// Where the guest is, and how it is started.
#[derive(Clone, Debug)]
pub struct Guest {
    folder: PathBuf,
    scripts: PathBuf,
    /// The initramfs, where it is not the folder's own.
    initramfs: Option<PathBuf>,
}

impl Guest {
    /// The guest in `DALEEL_GUEST`, or else in `target/guest` of the repository.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn find() -> Result<Self, String> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = std::env::var_os("DALEEL_GUEST")
            .map_or_else(|| home.join("../../target/guest"), PathBuf::from);
        if !has_program("qemu-system-x86_64") {
            return Err("no qemu-system-x86_64".into());
        }
        if !folder.join("vmlinuz").exists() || !folder.join("initramfs.gz").exists() {
            return Err("no Linux guest: firmware/guest/prepare.sh makes it".into());
        }
        let scripts = home.join("../guest");
        if !is_current(&folder, &scripts) {
            return Err(
                "the Linux guest is older than its scripts: firmware/guest/prepare.sh".into()
            );
        }
        Ok(Self { folder, scripts, initramfs: None })
    }

    /// The guest with more programs and files in it, its initramfs at `initramfs` (`firmware/guest/extend.sh`).
    ///
    /// # Errors
    /// The script fails, with what it said.
    pub fn with(
        &self,
        initramfs: &Path,
        programs: &[PathBuf],
        files: &[PathBuf],
    ) -> io::Result<Self> {
        let mut command = Command::new(self.scripts.join("extend.sh"));
        command.arg(&self.folder).arg(initramfs).args(programs).arg("--").args(files);
        run_script(&mut command)?;
        Ok(Self { initramfs: Some(initramfs.to_path_buf()), ..self.clone() })
    }

    /// Starts the guest with these words on its command line and these arguments for QEMU, hands over every line when it comes, and
    /// waits for its end: after `limit` it is ended.
    ///
    /// # Errors
    /// It cannot be started, or its console cannot be read.
    pub fn run(
        &self,
        words: &str,
        arguments: &[String],
        limit: Duration,
        mut on_line: impl FnMut(&Line),
    ) -> io::Result<Run> {
        let begun = Instant::now();
        let mut command = Command::new(self.scripts.join("run.sh"));
        command.arg(&self.folder).arg(words).args(arguments);
        command.env("GUEST_SECONDS", limit.as_secs().to_string());
        if let Some(initramfs) = &self.initramfs {
            command.env("GUEST_INITRAMFS", initramfs).env("GUEST_MEMORY", EXTENDED_MEMORY);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut child = Ended(child);
        let console = child.0.stdout.take().ok_or_else(|| io::Error::other("no console"))?;
        let mut lines = Vec::new();
        for bytes in BufReader::new(console).split(b'\n') {
            let line = Line::new(&String::from_utf8_lossy(&bytes?));
            on_line(&line);
            lines.push(line);
        }
        let status = child.0.wait()?;
        Ok(Run { lines, status, took: begun.elapsed() })
    }
}

/// Whether a program can be started.
#[must_use]
pub fn has_program(name: &str) -> bool {
    let found =
        Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// Makes a disk image with a partition table and a dirty ext4 (`firmware/guest/image.sh`).
///
/// # Errors
/// The script fails, with what it said.
pub fn make_image(file: &Path, mib: u32) -> io::Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest/image.sh");
    run_script(Command::new(script).arg(file).arg(mib.to_string()))
}

fn run_script(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Whether a guest was made of the scripts as they are now: a test that runs older ones judges something else.
fn is_current(folder: &Path, scripts: &Path) -> bool {
    let stamp = fs::read_to_string(folder.join("stamp")).unwrap_or_default();
    STAMPED.iter().all(|name| {
        let Ok(bytes) = fs::read(scripts.join(name)) else { return false };
        let digest = sha256(&[&bytes]).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        stamp.lines().any(|line| line == format!("{digest}  {name}"))
    })
}

/// A process that does not outlive its owner.
#[derive(Debug)]
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // Not SIGKILL, which `timeout` could not hand on to what it started. Nobody is left to take an error.
            let _ = Command::new("kill").arg(self.0.id().to_string()).status();
            let _ = self.0.wait();
        }
    }
}

/// What a guest printed.
#[derive(Clone, Debug)]
pub struct Run {
    /// Every line of its console.
    pub lines: Vec<Line>,
    /// How the emulator ended.
    pub status: ExitStatus,
    /// From its start to its end.
    pub took: Duration,
}

impl Run {
    /// The guest came to its end by itself.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let has = |word: &str| self.lines.iter().any(|line| line.is(word));
        self.status.success() && has("START") && has("DONE") && !has("TIMEOUT") && !has("NODISK")
    }

    /// The lines that begin with a word.
    pub fn all<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a Line> + 'a {
        self.lines.iter().filter(move |line| line.is(word))
    }

    /// The line that begins with a word and has this `name=`.
    #[must_use]
    pub fn named(&self, word: &str, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.is(word) && line.get("name") == Some(name))
    }

    /// Everything a program of the identity script printed.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        let start = format!("TEXT {name}: ");
        let lines = self.lines.iter().filter_map(|line| line.text.strip_prefix(&start));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// What the kernel believes of the disk.
    #[must_use]
    pub fn sysfs(&self, attribute: &str) -> Option<&str> {
        let start = format!("SYSFS {attribute}=");
        self.lines.iter().find_map(|line| line.text.strip_prefix(start.as_str()))
    }
}

/// One line of the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The whole of it.
    pub text: String,
    fields: Vec<(String, String)>,
}

impl Line {
    /// Takes a line apart.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let text = text.trim_end_matches('\r').to_owned();
        let mut fields = Vec::new();
        let mut rest = text.split_once(' ').map_or("", |(_, rest)| rest);
        while let Some((name, value)) = rest.trim_start().split_once('=') {
            let (value, after) = match value.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => value.split_once(' ').unwrap_or((value, "")),
            };
            // Words without a value before the name belong to nothing.
            let name = name.rsplit(' ').next().unwrap_or(name);
            fields.push((name.to_owned(), value.to_owned()));
            rest = after;
        }
        Self { text, fields }
    }

    /// Whether the line begins with this word.
    #[must_use]
    pub fn is(&self, word: &str) -> bool {
        self.text.split(' ').next() == Some(word)
    }

    /// A field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// A field, empty where it is absent.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// A decimal field.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the guest's own description, and a line with quoted values.
    #[test]
    fn lines_are_taken_apart() {
        let line = Line::new(
            "CHECK name=write_10 kind=raw status=check exit=7 sense=7/27/00 fru=57 info=- out=\"a=b | c\" ua=0\r",
        );
        assert!(line.is("CHECK") && !line.is("CHEC"));
        assert_eq!(line.get("sense"), Some("7/27/00"));
        assert_eq!(line.get("out"), Some("a=b | c"));
        assert_eq!((line.number("exit"), line.number("ua")), (Some(7), Some(0)));
        assert_eq!((line.get("cdb"), line.field("cdb")), (None, ""));
        let note = Line::new("UNCHANGED mib=4 before=aa after=aa");
        assert_eq!(note.get("after"), Some("aa"));
        let setrw = Line::new("SYSFS system ro=0 getro=1");
        assert_eq!((setrw.get("ro"), setrw.get("getro")), (Some("0"), Some("1")));
    }
}
