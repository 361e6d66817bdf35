//! `daleel bridge list`, `info` and `log`.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Result;
use wb_attest::interface::flag;

use super::{PortArgs, answered, port_failure, say};
use crate::{
    args::OutputArgs,
    bridge::{
        attached::find,
        describe::{InfoJson, ListJson, ListedJson, PROTOTYPE_NOTE, PortJson},
        frames::{Firmware, Item, LogJson},
        image::read_file,
        link::{Link, LinkError},
        port::{Port, PortError, shown},
        session::failure,
    },
    exit::{Exit, Failure},
    interrupt,
    output::{out, print_json},
};

/// Between two looks at the counters.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for a bridge that enumerates anew.
const BACK_WITHIN: Duration = Duration::from_secs(20);
/// One wait for log frames.
const LOG_WAIT: Duration = Duration::from_millis(250);
/// Read without --follow: far more than a bridge holds.
const LOG_BYTES_MAX: usize = 1 << 20;
/// Silence after which what the bridge held is read.
const LOG_SILENCE: Duration = Duration::from_secs(1);

/// List the bridges on this computer
///
/// Finds USB devices 1209:0001 whose product string begins with "Daleel write blocker". Which board a bridge is stands in its statements.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  daleel bridge list\n  daleel bridge list --json")]
pub struct List {
    #[command(flatten)]
    output: OutputArgs,
}

impl List {
    /// Runs the action.
    pub fn run(self) -> Result<Exit> {
        let mut bridges = Vec::new();
        for found in find().map_err(port_failure)? {
            let info = found
                .open()
                .map_err(|error| error.to_string())
                .and_then(|port| Link::new(port).info().map_err(|error| error.to_string()));
            let has = |bit: u32| info.as_ref().ok().map(|info| info.has(bit));
            bridges.push(ListedJson {
                port: PortJson::from(&found.identity()),
                key: has(flag::KEY),
                drive: has(flag::DRIVE),
                session: has(flag::SESSION),
                prototype_pid: has(flag::PROTOTYPE_PID),
                error: info.err(),
            });
        }
        let has_errors = bridges.iter().any(|bridge| bridge.error.is_some());
        let list = ListJson { schema: "daleel.bridge-list/1", bridges };
        let exit = if has_errors { Exit::Findings } else { Exit::Success };
        answered(if self.output.json { print_json(&list) } else { print_list(&list) }, exit)
    }
}

fn print_list(list: &ListJson) -> Result<()> {
    let mut out = out();
    if list.bridges.is_empty() {
        writeln!(out, "no bridge is connected")?;
    }
    for bridge in &list.bridges {
        let word = |is: Option<bool>, yes: &str, no: &str| match is {
            Some(true) => yes.to_owned(),
            Some(false) => no.to_owned(),
            None => "?".to_owned(),
        };
        writeln!(
            out,
            "{}  bus {}, address {}: {}, {}, {}; {}, release {}",
            shown(&bridge.port.serial),
            shown(&bridge.port.bus),
            bridge.port.address,
            word(bridge.key, "key", "no key"),
            word(bridge.drive, "drive attached", "no drive"),
            word(bridge.session, "session open", "no session"),
            shown(&bridge.port.product),
            bridge.port.release,
        )?;
        if let Some(error) = &bridge.error {
            writeln!(out, "  cannot be asked: {}", shown(error))?;
        }
    }
    if list.bridges.iter().any(|bridge| bridge.prototype_pid == Some(true)) {
        writeln!(out, "note: {PROTOTYPE_NOTE}")?;
    }
    out.flush()?;
    Ok(())
}

/// Show what a bridge says of itself, its drive and its session
///
/// Key, drive, session, firmware and policy in words, and what the flags mean. The policy digest is compared with the policy that this daleel was
/// built with. Everything a bridge says of itself is self-reported; only a statement is signed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  daleel bridge info\n  daleel bridge info --watch\n  daleel bridge info --bridge 3F1A --json"
)]
pub struct Info {
    #[command(flatten)]
    port: PortArgs,
    /// Go on looking every second, and print what changes, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// One JSON document
    #[arg(long, group = "format", conflicts_with = "watch")]
    json: bool,
    /// One JSON object a line, one for each change with --watch
    #[arg(long, group = "format")]
    jsonl: bool,
}

impl Info {
    /// Runs the action.
    pub fn run(self) -> Result<Exit> {
        let mut link = self.port.open()?;
        let info = link.info().map_err(failure)?;
        let mut last = InfoJson::new(link.port().identity(), &info);
        let mut exit = if last.has_findings(&info) { Exit::Findings } else { Exit::Success };
        if self.json {
            return answered(print_json(&last), exit);
        }
        if self.watch {
            interrupt::watch();
        } else {
            return answered(self.print(&last, None), exit);
        }
        let mut printed = self.print(&last, None);
        while printed.is_ok() && !interrupt::arrived() {
            link.port_mut().pause(WATCH_EVERY);
            let (now, has_findings) = Self::look(&mut link)?;
            if has_findings {
                exit = Exit::Findings;
            }
            if now != last {
                printed = self.print(&now, Some(&last));
                last = now;
            }
        }
        answered(printed, exit)
    }

    /// INFO anew, and whether something has to be looked at. A bridge enumerates anew when a drive is attached or detached.
    fn look(link: &mut Link<Box<dyn Port>>) -> Result<(InfoJson, bool)> {
        let mut answer = link.info();
        if answer.as_ref().is_err_and(LinkError::is_gone) {
            say("the bridge left the bus; waiting for it to come back");
            if link.port_mut().reconnect(BACK_WITHIN).is_ok() {
                answer = link.info();
            }
        }
        let info = answer.map_err(failure)?;
        let now = InfoJson::new(link.port().identity(), &info);
        let has_findings = now.has_findings(&info);
        Ok((now, has_findings))
    }

    fn print(&self, now: &InfoJson, before: Option<&InfoJson>) -> Result<()> {
        let mut out = out();
        if self.jsonl {
            serde_json::to_writer(&mut out, now)?;
            writeln!(out)?;
        } else {
            match before {
                None => now.write(&mut out)?,
                Some(before) => write_change(&mut out, before, now)?,
            }
        }
        out.flush()?;
        Ok(())
    }
}

/// What changed, on one line; everything anew when more than the counters did.
fn write_change(out: &mut impl Write, before: &InfoJson, now: &InfoJson) -> Result<()> {
    let refused = |of: &InfoJson| of.drive.as_ref().map(|drive| drive.refused_modifying);
    let entries = |of: &InfoJson| of.session.as_ref().map(|session| session.entries);
    let mut same = before.clone();
    if let (Some(to), Some(from)) = (&mut same.drive, &now.drive) {
        to.refused_modifying = from.refused_modifying;
    }
    if let (Some(to), Some(from)) = (&mut same.session, &now.session) {
        to.entries = from.entries;
    }
    if same != *now {
        return now.write(out);
    }
    let (was, is) = (refused(before).unwrap_or(0), refused(now).unwrap_or(0));
    match is.checked_sub(was) {
        Some(0) => {}
        Some(more) => writeln!(out, "REFUSED: {more} more modifying commands, {is} since attach")?,
        // A drive was attached anew within a second: the counter began again.
        None => writeln!(out, "refused modifying commands since attach: {is}, no longer {was}")?,
    }
    if entries(before) != entries(now) {
        writeln!(out, "log entries: {}", entries(now).unwrap_or(0))?;
    }
    Ok(())
}

/// Read a bridge's log and decode it with the ELF file of its firmware
///
/// Log frames are dropped by the bridge when nobody reads, and say so here when one cannot be decoded. They never hold data from the drive.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  daleel bridge log --elf teensy41.elf\n  daleel bridge log --elf teensy41.elf --follow --jsonl > bridge.jsonl"
)]
pub struct Log {
    #[command(flatten)]
    port: PortArgs,
    /// The ELF file that the bridge's firmware was made from
    #[arg(long, value_name = "FILE")]
    elf: PathBuf,
    /// Go on reading until Ctrl-C
    #[arg(long)]
    follow: bool,
    /// One JSON document
    #[arg(long, group = "format", conflicts_with = "follow")]
    json: bool,
    /// One JSON object a line and frame
    #[arg(long, group = "format")]
    jsonl: bool,
}

impl Log {
    /// Runs the action.
    pub fn run(self) -> Result<Exit> {
        let firmware = firmware(&self.elf)?;
        let mut link = self.port.open()?;
        interrupt::watch();
        let mut frames = Vec::new();
        let mut dropped = 0_u64;
        let is_document = self.json;
        let read = read(link.port_mut(), &firmware, self.follow, &mut |item| match item {
            Item::Frame(frame) if is_document => {
                frames.push(frame);
                Ok(())
            }
            item => {
                dropped = dropped.saturating_add(u64::from(item == Item::Dropped));
                if is_document { Ok(()) } else { print_item(&item, self.jsonl) }
            }
        });
        let exit = if dropped > 0 { Exit::Findings } else { Exit::Success };
        // What came before the bridge went away is shown all the same.
        if is_document {
            answered(
                print_json(&LogJson { schema: "daleel.bridge-log/1", frames, dropped }),
                exit,
            )?;
        }
        answered(read, exit)
    }
}

fn firmware(elf: &Path) -> Result<Firmware> {
    Firmware::parse(&read_file(elf)?, elf)
}

/// Reads until an interrupt, or until the bridge has been silent for a second. A bridge that never falls silent is left after so much.
fn read(
    port: &mut dyn Port,
    firmware: &Firmware,
    follow: bool,
    give: &mut dyn FnMut(Item) -> Result<()>,
) -> Result<()> {
    let mut decoder = firmware.decoder();
    let mut last = Instant::now();
    let mut taken = 0_usize;
    while !interrupt::arrived() && (follow || last.elapsed() < LOG_SILENCE) {
        let frames = port.read_log(LOG_WAIT).map_err(|error| match error {
            PortError::Gone => Failure::new(Exit::SourceLost, error.to_string()).into(),
            other => port_failure(other),
        })?;
        if frames.is_empty() {
            continue;
        }
        last = Instant::now();
        taken = taken.saturating_add(frames.len());
        let mut given = Ok(());
        decoder.take(&frames, &mut |item| {
            if given.is_ok() {
                given = give(item);
            }
        });
        given?;
        if !follow && taken >= LOG_BYTES_MAX {
            say("the bridge goes on sending; --follow reads on");
            break;
        }
    }
    Ok(())
}

fn print_item(item: &Item, as_json: bool) -> Result<()> {
    let mut out = out();
    match (item, as_json) {
        (Item::Frame(frame), true) => {
            serde_json::to_writer(&mut out, frame)?;
            writeln!(out)?;
        }
        (Item::Frame(frame), false) => {
            let uptime = frame.uptime.as_deref().unwrap_or("-");
            let level = frame.level.unwrap_or("-");
            write!(out, "{} {level:5} {}", shown(uptime), shown(&frame.text))?;
            match (&frame.file, frame.line) {
                (Some(file), Some(line)) => writeln!(out, "  ({}:{line})", shown(file))?,
                _ => writeln!(out)?,
            }
        }
        (Item::Dropped, true) => {
            say("a log frame was dropped or is of another firmware");
        }
        (Item::Dropped, false) => {
            writeln!(out, "(a log frame was dropped, or is of another firmware)")?
        }
    }
    out.flush()?;
    Ok(())
}
