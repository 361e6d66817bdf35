//! `daleel bridge`: the write blocker from the host's side.

mod attest;
mod evidence;
mod firmware;
mod look;
mod provision;
mod selftest;

use std::io::{ErrorKind, Write as _, stderr};

use anyhow::Result;

use crate::{
    bridge::{
        attached::{Attached, find},
        link::Link,
        port::{Port, PortError},
    },
    exit::{Exit, Failure, system_error},
};

/// Work with a write blocker bridge: look at it, have it prove what it did, load it
///
/// Talks to the bridge's own interface. The disk behind it is the business of the operating system and is not touched: nothing that is asked here makes the
/// bridge send a command to the drive.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  daleel bridge list\n  daleel bridge info --watch\n  daleel bridge attest run --out case/bridge --every 10m\n  daleel bridge verify case/bridge --key enrolled/key.pem\n  daleel bridge flash --board pico pico.elf\n  daleel bridge self-test"
)]
pub struct Bridge {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    List(look::List),
    Info(look::Info),
    Log(look::Log),
    Attest(attest::Attest),
    Verify(evidence::Verify),
    Flash(firmware::Flash),
    Digest(firmware::Digest),
    Provision(provision::Provision),
    SelfTest(selftest::SelfTest),
}

impl Bridge {
    /// Runs the verb.
    ///
    /// # Errors
    /// What the action says.
    pub fn run(self) -> Result<Exit> {
        match self.action {
            Action::List(action) => action.run(),
            Action::Info(action) => action.run(),
            Action::Log(action) => action.run(),
            Action::Attest(action) => action.run(),
            Action::Verify(action) => action.run(),
            Action::Flash(action) => action.run(),
            Action::Digest(action) => action.run(),
            Action::Provision(action) => action.run(),
            Action::SelfTest(action) => action.run(),
        }
    }
}

/// Which bridge.
#[derive(Debug, clap::Args)]
struct PortArgs {
    /// Which bridge, where several are connected: its serial or the beginning of it, or BUS:ADDRESS as `list` shows them
    #[arg(long, value_name = "BRIDGE")]
    bridge: Option<String>,
}

impl PortArgs {
    /// Opens the bridge that is asked for, or the only one.
    fn open(&self) -> Result<Link<Box<dyn Port>>> {
        let one = self.choose(find().map_err(port_failure)?)?;
        let port = one.open().map_err(|error| {
            let text = format!("bridge {}: {error}", one.identity().line());
            Failure::new(Exit::Input, text)
        })?;
        Ok(Link::telling(port, say))
    }

    fn choose(&self, found: Vec<Box<dyn Attached>>) -> Result<Box<dyn Attached>, Failure> {
        let is_wanted = |one: &dyn Attached| {
            let identity = one.identity();
            let place = format!("{}:{}", identity.bus, identity.address);
            self.bridge.as_deref().is_none_or(|wanted| {
                let serial = wanted.to_ascii_uppercase();
                place == wanted || (!serial.is_empty() && identity.serial.starts_with(&serial))
            })
        };
        let lines = |all: &[Box<dyn Attached>]| {
            all.iter().map(|one| one.identity().line()).collect::<Vec<_>>().join("; ")
        };
        let (mut wanted, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|one| is_wanted(one.as_ref()));
        if wanted.len() > 1 {
            return Err(Failure::new(Exit::Input, "several bridges are connected")
                .hint(format!("name one with --bridge: {}", lines(&wanted))));
        }
        match wanted.pop() {
            Some(one) => Ok(one),
            None if others.is_empty() => Err(Failure::new(Exit::Input, "no bridge is connected")
                .hint("a bridge is USB device 1209:0001 with a product string that begins with \"Daleel write blocker\"")),
            None => Err(Failure::new(Exit::Input, "this bridge is not connected").hint(lines(&others))),
        }
    }
}

/// The exit code of an answer that was printed. A reader that went away (`| head`) changes nothing about what was found: to a script the
/// exit code is the answer.
fn answered(printed: Result<()>, exit: Exit) -> Result<Exit> {
    match printed {
        Err(error) if is_closed(&error) => Ok(exit),
        printed => printed.map(|()| exit),
    }
}

/// Whether it is the reader of standard output that went away.
fn is_closed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| system_error(cause) == Some(ErrorKind::BrokenPipe))
}

/// Tells on standard error what is waited for.
fn say(text: &str) {
    // A closed standard error is no reason to stop.
    let _ = writeln!(stderr(), "{text}");
}

fn port_failure(error: PortError) -> anyhow::Error {
    Failure::new(Exit::Input, error.to_string()).into()
}

/// 32 bytes from the system's random source.
fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new(Exit::Internal, format!("the system gives no random bytes: {error}"))
    })?;
    Ok(bytes)
}

/// 32 bytes as 64 hex digits, for the command line.
fn parse_nonce(text: &str) -> Result<[u8; 32], String> {
    crate::bridge::record::parse_digest(text)
        .ok_or_else(|| "a nonce is 64 hexadecimal digits, such as a SHA-256".to_owned())
}
