//! Runs the fuzz targets of `tests/fuzz`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{root, say};

/// Longest input: larger ones cost speed and hold nothing that smaller ones cannot.
const INPUT_BYTES: u32 = 64 << 10;
/// An input that takes longer is reported as a hang.
const HANG_SECONDS: u32 = 10;
/// Memory that counts as runaway.
const MEMORY_MIB: u32 = 2048;

/// Fuzzes `target`, or all in turn, for `seconds` each; stops at the first that breaks.
///
/// # Errors
/// When the tools are missing, the target is unknown, or an input breaks it.
pub fn run(target: Option<&str>, seconds: u32) -> Result<()> {
    let folder = root().join("tests").join("fuzz");
    let all = targets(&folder.join("fuzz_targets"))?;
    let chosen = match target {
        None => all,
        Some(name) if all.iter().any(|known| known == name) => vec![name.to_owned()],
        Some(name) => bail!("there is no target `{name}`; there are {}", all.join(", ")),
    };
    require_tools()?;
    for name in chosen {
        fuzz(&folder, &name, seconds)?;
    }
    Ok(())
}

/// Names of the targets: the files of their folder.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let mut names = entries
        .map(|entry| {
            Ok(entry?.path().file_stem().unwrap_or_default().to_string_lossy().into_owned())
        })
        .collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn require_tools() -> Result<()> {
    let answers = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    ensure!(
        answers(&["+nightly", "--version"]),
        "fuzzing needs a nightly compiler: `rustup toolchain install nightly`"
    );
    ensure!(
        answers(&["+nightly", "fuzz", "--version"]),
        "fuzzing needs cargo-fuzz: `cargo install cargo-fuzz --locked`"
    );
    Ok(())
}

fn fuzz(folder: &Path, name: &str, seconds: u32) -> Result<()> {
    say(&format!("{name}: {seconds} seconds"));
    let corpus = made(folder.join("corpus").join(name))?;
    let mut command = Command::new("cargo");
    // No address sanitizer: the readers have no unsafe code, and without it they run many times as fast.
    command.args(["+nightly", "fuzz", "run", "--sanitizer", "none", "--fuzz-dir"]).arg(folder);
    command.arg(name).arg(corpus).arg(folder.join("seeds").join(name));
    command.arg("--").args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={INPUT_BYTES}"),
        format!("-timeout={HANG_SECONDS}"),
        format!("-rss_limit_mb={MEMORY_MIB}"),
    ]);
    let status = command.current_dir(root()).status().context("cargo cannot be started")?;
    ensure!(
        status.success(),
        "{name} broke; once it is understood, the input belongs into {}",
        folder.join("crashes").join(name).display()
    );
    Ok(())
}

fn made(folder: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
    Ok(folder)
}
