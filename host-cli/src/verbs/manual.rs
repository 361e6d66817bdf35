//! `daleel completions` and `daleel man`: from the definitions that also parse the command line.

use std::{fs, io::Write, path::PathBuf};

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::{
    args::Cli,
    exit::{Exit, Failure},
    output::out,
};

/// Print the completion script for a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  daleel completions bash > /etc/bash_completion.d/daleel\n  daleel completions zsh > ~/.zfunc/_daleel"
)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

impl Completions {
    /// Runs the verb.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn run(self) -> Result<Exit> {
        // The generator takes no failing writer.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "daleel", &mut script);
        let mut out = out();
        out.write_all(&script)?;
        out.flush()?;
        Ok(Exit::Success)
    }
}

/// Write the manual pages into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  daleel man --out man1")]
pub struct Man {
    /// Folder to make the pages in
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Man {
    /// Runs the verb. Existing pages are not overwritten.
    ///
    /// # Errors
    /// When the folder holds pages already or cannot be written.
    pub fn run(self) -> Result<Exit> {
        let made = tempfile::tempdir()?;
        clap_mangen::generate_to(Cli::command(), made.path())?;
        let pages: Vec<_> = fs::read_dir(made.path())?.collect::<Result<_, _>>()?;
        if let Some(page) =
            pages.iter().map(|page| self.out.join(page.file_name())).find(|page| page.exists())
        {
            let text = format!("{} exists already", page.display());
            return Err(Failure::new(Exit::Input, text).hint("nothing is overwritten").into());
        }
        fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())?;
        for page in pages {
            fs::copy(page.path(), self.out.join(page.file_name()))?;
        }
        Ok(Exit::Success)
    }
}
