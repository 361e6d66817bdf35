//! `daleel bridge provision`.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{PortArgs, answered, random};
use crate::{
    args::OutputArgs,
    bridge::{
        boards::Board,
        enrol::{ENROLMENT_FILE, EnrolmentJson, Given, provision},
        port::shown,
        record::KEY_FILE,
    },
    exit::Exit,
    output::{out, print_json},
};

/// Have a new bridge make its key, once, and keep its public key
///
/// The bridge makes the key from its own entropy and 32 random bytes from here; the secret never leaves it, and no request replaces it. Refused when it has a key
/// or a drive. Writes key.pem and enrolment.json: compare the serial with the label on the case, then sign the record with the laboratory's own key.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  daleel bridge provision --out enrolled/bridge-3\n  daleel bridge provision --out enrolled/bridge-3 --board teensy41 --seal A-1027 --operator \"bench 2\""
)]
pub struct Provision {
    #[command(flatten)]
    port: PortArgs,
    /// Folder for key.pem and enrolment.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Board, for the record
    #[arg(long, value_enum, value_name = "BOARD")]
    board: Option<Board>,
    /// Number of the seal on the case, for the record
    #[arg(long, value_name = "TEXT")]
    seal: Option<String>,
    /// Who enrols, for the record
    #[arg(long, value_name = "TEXT")]
    operator: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Provision {
    /// Runs the action.
    pub fn run(self) -> Result<Exit> {
        let mut link = self.port.open()?;
        let given = Given {
            board: self.board.map(|board| board.name().to_owned()),
            seal: self.seal,
            operator: self.operator,
        };
        let enrolment = provision(&mut link, &self.out, given, &random()?)?;
        let printed =
            if self.output.json { print_json(&enrolment) } else { print(&enrolment, &self.out) };
        answered(printed, Exit::Success)
    }
}

fn print(enrolment: &EnrolmentJson, folder: &Path) -> Result<()> {
    let mut out = out();
    writeln!(out, "the bridge has made its key ({})", shown(enrolment.key_protection))?;
    writeln!(out, "  key id  {}", enrolment.key_id)?;
    writeln!(out, "  serial  {}   <- label the case with it", enrolment.serial)?;
    for name in [KEY_FILE, ENROLMENT_FILE] {
        writeln!(out, "  written {}", folder.join(name).display())?;
    }
    writeln!(
        out,
        "plug the bridge in again if `daleel bridge list` still shows zeros for its serial"
    )?;
    writeln!(out, "{}", enrolment.notice)?;
    out.flush()?;
    Ok(())
}
