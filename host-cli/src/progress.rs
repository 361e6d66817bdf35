//! Progress on stderr: percent, bytes, rate, ETA; a bar on a terminal, plain lines elsewhere, JSON on request (U-3).

use std::{
    io::{IsTerminal, Write, stderr},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// A bar on a terminal, plain lines elsewhere.
    #[default]
    Auto,
    /// Plain lines.
    Plain,
    /// One JSON object a line.
    #[value(alias = "jsonl")]
    Json,
    /// None.
    None,
}

/// Nothing is shown before this: short work needs no progress.
const QUIET_FOR: Duration = Duration::from_secs(2);
/// Time between plain and JSON lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress of one task.
pub struct Progress {
    mode: Mode,
    bar: ProgressBar,
    started: Instant,
    last_line: Option<Instant>,
    last: (Instant, u64),
    shown: bool,
    phase: &'static str,
    findings: u64,
}

impl Progress {
    /// Progress over `total` bytes.
    pub fn new(mode: Mode, phase: &'static str, total: u64) -> Self {
        let mode = match mode {
            Mode::Auto if stderr().is_terminal() => Mode::Auto,
            Mode::Auto => Mode::Plain,
            other => other,
        };
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let template =
            "{msg} {percent:>3}% {bar:30} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(phase);
        let now = Instant::now();
        Self {
            mode,
            bar,
            started: now,
            last_line: None,
            last: (now, 0),
            shown: false,
            phase,
            findings: 0,
        }
    }

    /// States how far the work is, in bytes, and how many findings there are so far.
    pub fn at(&mut self, done: u64, findings: u64) {
        self.findings = findings;
        let waited = self.started.elapsed() >= QUIET_FOR;
        match self.mode {
            Mode::None => {}
            Mode::Auto => {
                if waited && !self.shown {
                    self.shown = true;
                    self.bar.set_draw_target(ProgressDrawTarget::stderr());
                }
                self.bar.set_position(done);
            }
            Mode::Plain | Mode::Json => {
                let due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
                if waited && due {
                    self.line(done);
                }
            }
        }
    }

    fn line(&mut self, done: u64) {
        let total = self.bar.length().unwrap_or(0);
        let (before, from) = self.last;
        let now_rate = rate(done.saturating_sub(from), before.elapsed());
        let mean = rate(done, self.started.elapsed());
        let percent =
            u128::from(done).saturating_mul(100).checked_div(u128::from(total)).unwrap_or(100);
        let eta = total.saturating_sub(done).checked_div(mean);
        let text = match self.mode {
            Mode::Json => serde_json::json!({
                "phase": self.phase, "done_bytes": done, "total_bytes": total,
                "bytes_per_second": now_rate, "mean_bytes_per_second": mean,
                "eta_seconds": eta, "findings": self.findings,
            })
            .to_string(),
            _ => format!(
                "{}: {percent}% {done} of {total} bytes, {} MB/s now, {} MB/s mean, ETA {}, {} findings",
                self.phase,
                now_rate / 1_000_000,
                mean / 1_000_000,
                eta.map_or("unknown".to_owned(), |seconds| format!("{seconds} s")),
                self.findings,
            ),
        };
        // A closed stderr is no reason to stop.
        let _ = writeln!(stderr(), "{text}");
        let now = Instant::now();
        self.last_line = Some(now);
        self.last = (now, done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Bytes per second.
fn rate(bytes: u64, time: Duration) -> u64 {
    let milliseconds = time.as_millis().max(1);
    let rate = u128::from(bytes).saturating_mul(1000).checked_div(milliseconds).unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}
