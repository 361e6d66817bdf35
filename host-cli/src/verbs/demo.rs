//! `daleel demo`.

use std::{io::Write, path::PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use crate::{
    args::{FilterArgs, OutputArgs, SourceArgs},
    exit::{Exit, Failure},
    output::{out, print_json},
    verbs::{extract::Extract, identify::Identify, list::List},
};

/// Make a small recorder disk from built-in footage and take it through all of this
///
/// Writes a Dahua recorder disk whose pictures carry their camera and frame number, with the truth about it, then identifies it, lists it and extracts its
/// clips. Needs no other program.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  daleel demo\n  daleel demo --out demo")]
pub struct Demo {
    /// Folder to make; a fresh temporary folder without it
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Demo {
    /// Runs the verb.
    ///
    /// # Errors
    /// When the folder exists or cannot be written.
    pub fn run(self) -> Result<Exit> {
        let folder = match self.out {
            Some(out) if out.exists() => {
                let text = format!("{} exists already", out.display());
                return Err(Failure::new(Exit::Input, text)
                    .hint("give a folder that does not exist")
                    .into());
            }
            Some(out) => {
                std::fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
                out
            }
            None => tempfile::Builder::new().prefix("daleel-demo-").tempdir()?.keep(),
        };
        let truth = daleel_generator::demo_disk(&folder)?;
        let disk = truth.image_path(&folder);
        let clips = folder.join("footage");
        if self.output.json {
            let extracted = Extract::of(disk.clone(), clips.clone()).work()?;
            print_json(&json!({
                "schema": "daleel.demo/1",
                "disk": disk.display().to_string(),
                "truth": folder.join("truth.json").display().to_string(),
                "footage": clips.display().to_string(),
                "summary": extracted.summary,
            }))?;
            return Ok(Exit::Success);
        }
        heading(&format!("A recorder disk: {}", disk.display()))?;
        heading("daleel identify")?;
        Identify::of(disk.clone()).run()?;
        heading("daleel list")?;
        List::of(disk.clone()).run()?;
        heading("daleel extract")?;
        Extract::of(disk.clone(), clips.clone()).run()?;
        let mut out = out();
        let first = std::fs::read_dir(clips.join("clips"))?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "mp4"))
            .min();
        writeln!(out, "\nThe clips are in {}", clips.join("clips").display())?;
        if let Some(first) = first {
            writeln!(
                out,
                "Look at one in any player or browser, for example:\n  ffplay {}",
                first.display()
            )?;
            writeln!(
                out,
                "Where its frames lie on the disk:\n  {}",
                first.with_extension("frames.jsonl").display()
            )?;
        }
        writeln!(out, "What is truly on the disk: {}", folder.join("truth.json").display())?;
        writeln!(out, "Check the files: cd {} && sha256sum -c SHA256SUMS", clips.display())?;
        out.flush()?;
        Ok(Exit::Success)
    }
}

fn heading(text: &str) -> Result<()> {
    let mut out = out();
    writeln!(out, "\n=== {text}")?;
    out.flush()?;
    Ok(())
}

impl Identify {
    fn of(source: PathBuf) -> Self {
        Self::new(SourceArgs { source, map: None, no_map: false, family: None })
    }
}

impl List {
    fn of(source: PathBuf) -> Self {
        Self::new(
            SourceArgs { source, map: None, no_map: false, family: None },
            FilterArgs::default(),
        )
    }
}
