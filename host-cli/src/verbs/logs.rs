//! `daleel logs`.

use std::io::Write;

use anyhow::Result;
use daleel_core::{CivilTime, Findings, LogEvent, Recorder};
use serde::Serialize;

use crate::{
    args::{SourceArgs, parse_until},
    exit::{Exit, Failure},
    output::{
        FindingJson, StoredJson, findings, out, print_json, printable, report_findings,
        write_findings,
    },
    session,
};

/// Print the recorder's own log
///
/// Formats, power-ups, logins, exports, clock changes and what else the recorder wrote about itself, in stored order, each with its offset. Entries
/// that are not understood are printed as they are. Times are the recorder's own clock.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  daleel logs disk.dd\n  daleel logs disk.dd --jsonl\n  daleel logs disk.dd --from 2024-12-07 --to 2024-12-08 --level operation\n  daleel logs disk.dd --text export --csv > exports.csv"
)]
pub struct Logs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    filter: LogFilter,
    /// One JSON document
    #[arg(long, group = "format")]
    json: bool,
    /// One JSON object a line and event
    #[arg(long, group = "format")]
    jsonl: bool,
    /// Comma-separated values with a header line
    #[arg(long, group = "format")]
    csv: bool,
}

/// Which entries. Only logs that name channels, codes and users can be filtered by them; of others, `--text` finds what a line says. What is given several times is any of them; different filters all have to hold.
#[derive(Debug, clap::Args)]
struct LogFilter {
    /// Only entries at or after this recorder time; entries without a time are left out
    #[arg(long, value_name = "TIME")]
    from: Option<CivilTime>,
    /// Only entries at or before this recorder time; a date alone means to the end of that day
    #[arg(long, value_name = "TIME", value_parser = parse_until)]
    to: Option<CivilTime>,
    /// Only entries that name this channel, from 1; may be given several times
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    channel: Vec<u32>,
    /// Only entries of this class (operation, exception, alarm, information, ...); may be given several times
    #[arg(long, value_name = "CLASS")]
    level: Vec<String>,
    /// Only entries with this number in the vendor's list (for example 3:5b); may be given several times
    #[arg(long, value_name = "CODE")]
    code: Vec<String>,
    /// Only entries that name this user; may be given several times
    #[arg(long, value_name = "NAME")]
    user: Vec<String>,
    /// Only entries whose text holds this, in any case
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
}

impl LogFilter {
    fn check(&self) -> Result<(), Failure> {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from > to => {
                Err(Failure::new(Exit::Usage, format!("--from {from} lies after --to {to}")))
            }
            _ => Ok(()),
        }
    }

    fn wants(&self, event: &LogEvent) -> bool {
        let is_one = |wanted: &[String], own: Option<&str>| {
            let any = |own: &str| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(own));
            wanted.is_empty() || own.is_some_and(any)
        };
        let after = self.from.is_none_or(|from| event.time.is_some_and(|time| time >= from));
        let before = self.to.is_none_or(|to| event.time.is_some_and(|time| time <= to));
        let channel = self.channel.is_empty()
            || event.channel.is_some_and(|channel| self.channel.contains(&channel));
        let text = self
            .text
            .as_ref()
            .is_none_or(|text| event.text.to_lowercase().contains(&text.to_lowercase()));
        after
            && before
            && channel
            && text
            && is_one(&self.level, Some(&event.level))
            && is_one(&self.code, event.code.as_deref())
            && is_one(&self.user, event.user.as_deref())
    }
}

#[derive(Serialize)]
struct EventJson {
    time: Option<String>,
    log: String,
    level: String,
    code: Option<String>,
    user: Option<String>,
    address: Option<String>,
    channel: Option<u32>,
    text: String,
    offset: u64,
    length: u64,
    stored: Option<StoredJson>,
    /// Hexadecimal digits of what is not understood.
    unknown: Option<String>,
    source_file: Option<String>,
}

impl From<&LogEvent> for EventJson {
    fn from(event: &LogEvent) -> Self {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Self {
            time: event.time.map(|time| time.to_string()),
            log: event.log.to_string(),
            level: event.level.to_string(),
            code: event.code.clone(),
            user: event.user.clone(),
            address: event.address.clone(),
            channel: event.channel,
            text: event.text.clone(),
            offset: event.at.offset(),
            length: event.at.len(),
            stored: event.stored.as_ref().map(|value| StoredJson::new(value, value.offset)),
            unknown: (!event.unknown.is_empty()).then(|| hex(&event.unknown)),
            source_file: event.file.clone(),
        }
    }
}

impl EventJson {
    /// User, address and channel, as far as they are named, for a line of text.
    fn who(&self) -> String {
        let channel = self.channel.map(|channel| format!("channel {channel}"));
        let parts = [self.user.clone(), self.address.clone(), channel];
        let named: Vec<_> = parts.into_iter().flatten().collect();
        if named.is_empty() { String::new() } else { format!("  [{}]", named.join(", ")) }
    }
}

#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    source: String,
    events: Vec<EventJson>,
    findings: Vec<FindingJson>,
}

impl Logs {
    /// Runs the verb.
    ///
    /// # Errors
    /// When the source cannot be opened or is not recognised.
    pub fn run(self) -> Result<Exit> {
        self.filter.check()?;
        let (_, recorder) = session::open(&self.source)?;
        let mut noticed = Findings::default();
        if self.json {
            let mut events = Vec::new();
            self.each(&*recorder, &mut noticed, |event| {
                events.push(event);
                Ok(())
            })?;
            print_json(&Answer {
                schema: "daleel.logs/1",
                source: self.source.source.display().to_string(),
                events,
                findings: findings(&noticed),
            })?;
        } else if self.jsonl {
            let mut out = out();
            self.each(&*recorder, &mut noticed, |event| {
                serde_json::to_writer(&mut out, &event)?;
                Ok(writeln!(out)?)
            })?;
            out.flush()?;
        } else if self.csv {
            self.print_csv(&*recorder, &mut noticed)?;
        } else {
            self.print_text(&*recorder, &mut noticed)?;
        }
        if self.jsonl || self.csv {
            report_findings(&noticed)?;
        }
        Ok(if noticed.is_empty() { Exit::Success } else { Exit::Findings })
    }

    /// Shows the entries that are asked for, as they are read: a log can be long.
    fn each(
        &self,
        recorder: &dyn Recorder,
        noticed: &mut Findings,
        mut show: impl FnMut(EventJson) -> Result<()>,
    ) -> Result<()> {
        for item in recorder.events() {
            match item {
                Ok(event) if self.filter.wants(&event) => show(EventJson::from(&event))?,
                Ok(_) => {}
                Err(error) => noticed.add(error.into()),
            }
        }
        Ok(())
    }

    fn print_text(&self, recorder: &dyn Recorder, noticed: &mut Findings) -> Result<()> {
        let mut out = out();
        self.each(recorder, noticed, |event| {
            let time = event.time.as_deref().unwrap_or("no time");
            let code = event.code.as_ref().map(|code| format!("{code:<6} ")).unwrap_or_default();
            let file = event.source_file.as_ref().map(|file| format!("{file} "));
            Ok(writeln!(
                out,
                "{time:<23}  {}0x{:x}  {:<11}  {code}{}{}",
                printable(&file.unwrap_or_default()),
                event.offset,
                printable(&event.level),
                printable(&event.text),
                printable(&event.who()),
            )?)
        })?;
        write_findings(&mut out, noticed)?;
        Ok(out.flush()?)
    }

    fn print_csv(&self, recorder: &dyn Recorder, noticed: &mut Findings) -> Result<()> {
        let mut table = csv::Writer::from_writer(out());
        table.write_record([
            "time",
            "log",
            "level",
            "code",
            "user",
            "address",
            "channel",
            "text",
            "offset",
            "length",
            "unknown",
            "source_file",
        ])?;
        self.each(recorder, noticed, |event| {
            Ok(table.write_record([
                event.time.unwrap_or_default(),
                event.log,
                event.level,
                event.code.unwrap_or_default(),
                event.user.unwrap_or_default(),
                event.address.unwrap_or_default(),
                event.channel.map(|channel| channel.to_string()).unwrap_or_default(),
                event.text,
                event.offset.to_string(),
                event.length.to_string(),
                event.unknown.unwrap_or_default(),
                event.source_file.unwrap_or_default(),
            ])?)
        })?;
        Ok(table.flush()?)
    }
}
