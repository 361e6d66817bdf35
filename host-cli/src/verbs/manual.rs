//! `daleel completions` and `daleel man`: from the definitions that also parse the command line.

use std::{fs, path::PathBuf};

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
    /// Never.
    pub fn run(self) -> Result<Exit> {
        clap_complete::generate(self.shell, &mut Cli::command(), "daleel", &mut out());
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
        let page = self.out.join("daleel.1");
        if page.exists() {
            return Err(
                Failure::new(Exit::Input, format!("{} exists already", page.display())).into()
            );
        }
        fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())?;
        clap_mangen::generate_to(Cli::command(), &self.out)?;
        Ok(Exit::Success)
    }
}
