//! `daleel list`.

use std::{collections::BTreeMap, io::Write};

use anyhow::Result;
use daleel_core::{Findings, Recorder, Recording, RecordingState};
use serde::Serialize;

use crate::{
    args::{FilterArgs, SourceArgs},
    exit::Exit,
    output::{
        FindingJson, RecordingJson, VerdictJson, counts, duration_ms, duration_text, findings,
        index_findings, out, print_json, printable, report_findings, write_findings,
    },
    session,
};

/// List the recordings of the recorder's own index
///
/// One line a recording, in the order of the index. Entries of earlier passes that are still in the index but no longer shown by the recorder have the
/// state residual and are counted apart. Recordings that no index mentions are not here. Times are the recorder's own clock.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  daleel list disk.dd\n  daleel list disk.dd --channel 3 --from 2024-12-07T20:00 --to 2024-12-08T04:00\n  daleel list disk.dd --jsonl | head\n  daleel list disk.dd --csv > recordings.csv"
)]
pub struct List {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// One JSON document
    #[arg(long, group = "format")]
    json: bool,
    /// One JSON object a line and recording
    #[arg(long, group = "format")]
    jsonl: bool,
    /// Comma-separated values with a header line
    #[arg(long, group = "format")]
    csv: bool,
}

#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    source: String,
    size: u64,
    verdict: VerdictJson,
    recordings: Vec<RecordingJson>,
    totals: Totals,
    findings: Vec<FindingJson>,
    finding_counts: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Totals {
    recordings: u64,
    bytes: u64,
    duration_ms: i64,
    start: Option<String>,
    end: Option<String>,
    by_channel: BTreeMap<String, ChannelTotals>,
    /// Entries of earlier passes that the recorder no longer shows; in none of the other sums.
    residual: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
struct ChannelTotals {
    recordings: u64,
    bytes: u64,
    duration_ms: i64,
}

impl Totals {
    fn add(&mut self, recording: &Recording) {
        if recording.state == RecordingState::Residual {
            self.residual = self.residual.saturating_add(1);
            return;
        }
        let duration = duration_ms(recording).unwrap_or(0);
        let channel = recording.channel.map_or("unknown".to_owned(), |channel| channel.to_string());
        let own = self.by_channel.entry(channel).or_default();
        own.recordings = own.recordings.saturating_add(1);
        own.bytes = own.bytes.saturating_add(recording.bytes);
        own.duration_ms = own.duration_ms.saturating_add(duration);
        self.recordings = self.recordings.saturating_add(1);
        self.bytes = self.bytes.saturating_add(recording.bytes);
        self.duration_ms = self.duration_ms.saturating_add(duration);
        let start = recording.start.map(|time| time.to_string());
        let end = recording.end.map(|time| time.to_string());
        self.start = self.start.take().into_iter().chain(start).min();
        self.end = self.end.take().into_iter().chain(end).max();
    }
}

impl List {
    /// The verb with text output.
    pub const fn new(source: SourceArgs, filter: FilterArgs) -> Self {
        Self { source, filter, json: false, jsonl: false, csv: false }
    }

    /// Runs the verb.
    ///
    /// # Errors
    /// When the source cannot be opened or is not recognised.
    pub fn run(self) -> Result<Exit> {
        self.filter.check()?;
        let (session, recorder) = session::open(&self.source)?;
        let mut noticed = Findings::default();
        noticed.extend(&session.findings);
        noticed.extend(recorder.findings());
        let mut totals = Totals::default();
        if self.json {
            let mut recordings = Vec::new();
            self.each(&*recorder, &mut noticed, &mut totals, |recording| {
                recordings.push(RecordingJson::from(recording));
                Ok(())
            })?;
            print_json(&Answer {
                schema: "daleel.list/1",
                source: self.source.source.display().to_string(),
                size: session.opened.size,
                verdict: recorder.verdict().into(),
                recordings,
                totals,
                findings: findings(&noticed),
                finding_counts: counts(&noticed),
            })?;
        } else if self.jsonl {
            let mut out = out();
            self.each(&*recorder, &mut noticed, &mut totals, |recording| {
                serde_json::to_writer(&mut out, &RecordingJson::from(recording))?;
                Ok(writeln!(out)?)
            })?;
            out.flush()?;
        } else if self.csv {
            self.print_csv(&*recorder, &mut noticed, &mut totals)?;
        } else {
            self.print_table(&*recorder, &session, &mut noticed, &mut totals)?;
        }
        if self.jsonl || self.csv {
            report_findings(&noticed)?;
        }
        Ok(if noticed.is_empty() { Exit::Success } else { Exit::Findings })
    }

    fn each(
        &self,
        recorder: &dyn Recorder,
        noticed: &mut Findings,
        totals: &mut Totals,
        mut show: impl FnMut(&Recording) -> Result<()>,
    ) -> Result<()> {
        for item in recorder.recordings() {
            match item {
                Ok(recording) if self.filter.wants(&recording) => {
                    totals.add(&recording);
                    index_findings(&recording).for_each(|finding| noticed.add(finding));
                    show(&recording)?;
                }
                Ok(_) => {}
                Err(error) => noticed.add(error.into()),
            }
        }
        Ok(())
    }

    fn print_csv(
        &self,
        recorder: &dyn Recorder,
        noticed: &mut Findings,
        totals: &mut Totals,
    ) -> Result<()> {
        let mut table = csv::Writer::from_writer(out());
        table.write_record([
            "id",
            "channel",
            "stream",
            "start",
            "end",
            "duration_ms",
            "type",
            "bytes",
            "state",
            "grade",
            "index_entry_offset",
            "first_byte",
            "source_file",
        ])?;
        self.each(recorder, noticed, totals, |recording| {
            let r = RecordingJson::from(recording);
            let number =
                |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
            table.write_record([
                r.id,
                number(r.channel.map(u64::from)),
                r.stream.to_string(),
                r.start.unwrap_or_default(),
                r.end.unwrap_or_default(),
                r.duration_ms.map(|value| value.to_string()).unwrap_or_default(),
                r.kind.unwrap_or_default(),
                r.bytes.to_string(),
                r.state,
                r.grade,
                number(r.index_entry.map(|[offset, _]| offset)),
                number(r.first_byte),
                r.source_file.unwrap_or_default(),
            ])?;
            Ok(())
        })?;
        table.flush()?;
        Ok(())
    }

    fn print_table(
        &self,
        recorder: &dyn Recorder,
        session: &session::Session,
        noticed: &mut Findings,
        totals: &mut Totals,
    ) -> Result<()> {
        let mut out = out();
        let verdict = recorder.verdict();
        writeln!(
            out,
            "{}, {} bytes: {}",
            self.source.source.display(),
            session.opened.size,
            verdict.layout
        )?;
        for note in &session.opened.notes {
            writeln!(out, "note: {note}")?;
        }
        writeln!(
            out,
            "times: the recorder's own clock, no zone\n\n{:>3}  {:<19}  {:<19}  {:>8}  {:>12}  {:<8}  {:>14}  id",
            "ch", "start", "end", "length", "bytes", "state", "first byte"
        )?;
        self.each(recorder, noticed, totals, |recording| {
            let time = |time: Option<daleel_core::CivilTime>| {
                time.map_or("unknown".to_owned(), daleel_core::CivilTime::to_seconds_text)
            };
            writeln!(
                out,
                "{:>3}  {:<19}  {:<19}  {:>8}  {:>12}  {:<8}  {:>14}  {}",
                recording.channel.map_or("?".to_owned(), |channel| channel.to_string()),
                time(recording.start),
                time(recording.end),
                duration_ms(recording).map_or("unknown".to_owned(), duration_text),
                recording.bytes,
                recording.state.as_str(),
                recording.first_byte.map(|offset| format!("0x{offset:x}")).unwrap_or_default(),
                printable(&recording.id),
            )?;
            Ok(())
        })?;
        writeln!(
            out,
            "\n{} recordings, {} bytes, {} of footage by the index",
            totals.recordings,
            totals.bytes,
            duration_text(totals.duration_ms)
        )?;
        if totals.residual > 0 {
            writeln!(
                out,
                "{} residual entries of earlier passes, no longer listed by the recorder (state residual above)",
                totals.residual
            )?;
        }
        let mut channels: Vec<_> = totals.by_channel.iter().collect();
        channels.sort_by_key(|(channel, _)| channel.parse::<u32>().unwrap_or(u32::MAX));
        for (channel, own) in channels {
            writeln!(
                out,
                "  channel {channel}: {} recordings, {} bytes, {}",
                own.recordings,
                own.bytes,
                duration_text(own.duration_ms)
            )?;
        }
        write_findings(&mut out, noticed)?;
        out.flush()?;
        Ok(())
    }
}
