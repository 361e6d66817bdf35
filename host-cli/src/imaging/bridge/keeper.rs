//! The thread that keeps a session while the pass runs: log entries, checkpoints, refusals, and what to do when the session breaks off.

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Result;
use daleel_acquire::log::Log;
use wb_attest::{Digest, statement::Kind};

use super::{FOLDER, Place, random, say};
use crate::{
    bridge::{
        link::Link,
        port::{Port, shown},
        record::Folder,
        session::{CHECKPOINT_ENTRIES, Ending, Pace, Seen, Session, Stored},
    },
    exit::{Exit, Failure, classify},
};

/// Longest time between two checkpoint statements.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(600);
/// Between two looks for a bridge that is gone.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a bridge that is gone is waited for once its last statement is wanted.
const LAST_WAIT: Duration = Duration::from_secs(30);

type Opened = Link<Box<dyn Port>>;

/// What the job wants of the thread.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// The final statement, with this nonce.
    End(Digest),
    /// A checkpoint statement; the session stays open.
    Leave,
}

/// What the thread answers, once for the begin and once for an order: the public key.
type Answer = Result<[u8; 32]>;

/// A session and the thread that keeps it.
pub(super) struct Keeper {
    orders: Sender<Order>,
    answers: Receiver<Answer>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Opens a session, or goes on with the one of an unfinished image; `custody` is the start nonce of the first.
    ///
    /// # Errors
    /// When there is none to be had.
    pub(super) fn start(place: Place, image: &Path, custody: Option<Digest>) -> Result<Self> {
        let (orders, take) = channel();
        let (give, answers) = channel();
        let work = Work {
            place,
            folder: image.join(FOLDER),
            custody,
            log: Log::open(image, true).ok(),
            orders: take,
            answers: give,
            order: None,
            is_ready: false,
            fault: None,
        };
        let thread = thread::Builder::new().name("bridge".to_owned()).spawn(move || work.run())?;
        let keeper = Self { orders, answers, thread };
        match keeper.answers.recv() {
            Ok(Ok(_)) => Ok(keeper),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(thread_failed()),
        }
    }

    /// The final statement; the key it is signed with.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn end(self, nonce: Digest) -> Answer {
        self.obey(Order::End(nonce))
    }

    /// A checkpoint statement.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn leave(self) -> Answer {
        self.obey(Order::Leave)
    }

    fn obey(self, order: Order) -> Answer {
        // Where the thread has ended, its answer is there, or its end is one.
        let _ = self.orders.send(order);
        let answer = self.answers.recv().unwrap_or_else(|_| Err(thread_failed()));
        let ended = self.thread.join().map_err(|_| thread_failed());
        ended.and(answer)
    }
}

fn thread_failed() -> anyhow::Error {
    Failure::new(Exit::Internal, "the thread that keeps the bridge's session failed").into()
}

struct Work {
    place: Place,
    folder: PathBuf,
    custody: Option<Digest>,
    log: Option<Log>,
    orders: Receiver<Order>,
    answers: Sender<Answer>,
    order: Option<Order>,
    /// The job reads: a session was there.
    is_ready: bool,
    /// What was told last of a bridge that is gone, so that it is not told every second.
    fault: Option<String>,
}

/// What an earlier session left in the folder.
enum Left {
    /// Nothing that can be gone on with.
    Nothing,
    /// It is open still.
    Open,
    /// Its final statement was waiting; this was its nonce.
    Final(Digest),
}

impl Work {
    fn run(mut self) {
        let mut wanted_since = None;
        loop {
            let error = match self.attend() {
                Ok(key) => {
                    self.answer(Ok(key));
                    return;
                }
                Err(error) => error,
            };
            if self.order.is_some() && wanted_since.is_none() {
                wanted_since = Some(Instant::now());
            }
            let is_over = wanted_since.is_some_and(|since| since.elapsed() >= LAST_WAIT);
            let is_wrong = self.order.is_some() && classify(&error).0 == Exit::Verification;
            let is_leaving = matches!(self.order, Some(Order::Leave));
            if !self.is_ready || is_over || is_wrong || is_leaving {
                self.answer(Err(error));
                return;
            }
            self.tell_once(&error);
            self.wait();
        }
    }

    /// That nobody listens is the end of the program.
    fn answer(&self, answer: Answer) {
        let _ = self.answers.send(answer);
    }

    /// Says on standard error and in the image's log what the examiner has to know.
    fn tell(&self, text: &str) {
        say(text);
        self.note(text);
    }

    fn note(&self, text: &str) {
        if let Some(log) = &self.log {
            // The journal and the statements have what counts.
            let _ = log.line(text);
        }
    }

    fn tell_once(&mut self, error: &anyhow::Error) {
        let text = shown(&format!("{error:#}"));
        if self.fault.as_deref() != Some(&text) {
            self.tell(&format!(
                "bridge: {text}; what is read until a session is open again has no digest of the bridge"
            ));
            self.fault = Some(text);
        }
    }

    fn wait(&mut self) {
        if self.order.is_some() {
            thread::sleep(LOOK_EVERY);
            return;
        }
        self.order = match self.orders.recv_timeout(LOOK_EVERY) {
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Order::Leave),
        };
    }

    /// A session from its begin, or from where it was left, until an order is carried out.
    fn attend(&mut self) -> Answer {
        let (mut link, info) = self.place.open()?;
        let key = info.public_key;
        let left = self.left(&mut link)?;
        if let (Left::Final(stored), Some(Order::End(wanted))) = (&left, self.order)
            && *stored == wanted
        {
            return Ok(key);
        }
        let mut session = match left {
            Left::Open => Session::resume(&mut link, &self.folder)?,
            Left::Nothing | Left::Final(_) => {
                let nonce = self.start_nonce()?;
                let supersede = self.place.wanted.supersede && !self.is_ready;
                Session::start(&mut link, &self.folder, nonce, supersede)?
            }
        };
        self.tell_begin(session.name());
        if !self.is_ready {
            self.is_ready = true;
            self.answer(Ok(key));
        }
        let order = self.keep(&mut session)?;
        let (ending, nonce) = match order {
            Order::End(nonce) => (Ending::Final, nonce),
            Order::Leave => (Ending::Checkpoint, random()?),
        };
        let stored = session.statement(ending, nonce)?;
        self.tell_stored(&stored);
        Ok(key)
    }

    /// Takes up what is in the folder: a statement that was asked for and not stored is stored, a session that is gone is noted as broken.
    fn left(&self, link: &mut Opened) -> Result<Left> {
        let folder = Folder::open(&self.folder)?;
        let Some(journal) = folder.unfinished()? else { return Ok(Left::Nothing) };
        let pending = journal.pending();
        drop(journal);
        let waiting = match Session::resume(link, &self.folder) {
            Ok(mut session) => session.waiting()?,
            Err(error) if classify(&error).0 == Exit::SourceLost => {
                self.note(&format!("bridge: {error:#}"));
                return Ok(Left::Nothing);
            }
            Err(error) => return Err(error),
        };
        if let Some(stored) = &waiting {
            self.tell_stored(stored);
        }
        let is_final = waiting.is_some_and(|stored| stored.kind == Kind::Final);
        match pending {
            Some((_, true, nonce)) if is_final => Ok(Left::Final(nonce)),
            _ if is_final => Ok(Left::Nothing),
            _ => Ok(Left::Open),
        }
    }

    /// The digest of the event that the acquisition begins with is the nonce of its first session; later ones, and all without a case,
    /// begin with a random one.
    fn start_nonce(&self) -> Result<Digest> {
        let folder = Folder::open(&self.folder)?;
        // The log of a session is begun when the bridge has opened it.
        let is_first =
            !folder.sessions()?.iter().any(|name| folder.file(&format!("{name}.log")).exists());
        self.custody.filter(|_| is_first).map_or_else(random, Ok)
    }

    /// Keeps the session until an order comes.
    fn keep<P: Port>(&mut self, session: &mut Session<'_, P>) -> Result<Order> {
        let pace = Pace { every: CHECKPOINT_EVERY, entries: CHECKPOINT_ENTRIES };
        let mut order = self.order;
        let mut stop = || {
            if order.is_none() {
                order = match self.orders.try_recv() {
                    Ok(order) => Some(order),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) => Some(Order::Leave),
                };
            }
            order.is_some()
        };
        let kept = session.keep(pace, &mut random, &mut stop, &mut |seen| {
            match seen {
                Seen::Entries(_) => {}
                Seen::Refused(count) => self.tell(&format!(
                    "REFUSED by the bridge: {count} modifying commands since the drive was attached"
                )),
                Seen::Stored(stored) => self.tell_stored(stored),
            }
            Ok(())
        });
        self.order = order;
        kept?;
        Ok(order.unwrap_or(Order::Leave))
    }

    fn tell_begin(&mut self, name: &str) {
        let text = format!("bridge: session {name} is open");
        if self.fault.take().is_some() {
            self.tell(&text);
        } else {
            self.note(&text);
        }
    }

    /// A statement goes into the log; what does not fit is said at once.
    fn tell_stored(&self, stored: &Stored) {
        self.note(&format!(
            "bridge: statement {} verified and stored: {} log entries, {} modifying commands refused",
            stored.name, stored.entries, stored.refused_modifying
        ));
        for finding in &stored.findings {
            let text = format!("bridge: {}: {}", stored.name, shown(finding));
            if stored.is_wrong {
                self.tell(&text);
            } else {
                self.note(&text);
            }
        }
    }
}
