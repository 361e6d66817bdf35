//! A usbredir link with a tap: between QEMU's `-device usb-redir` and a device that speaks the protocol on a Unix socket of its own (a
//! board's serial port, an emulated microcontroller).
//!
//! Towards the device the proxy is the host, from its start to its end, whether or not a guest is there; towards a guest it is the device.
//! Packets pass unchanged and are recorded as [`Trace`] has it. Between two commands, while the guest's next packet waits, it can send
//! control requests of its own ([`Proxy::control`]): they stand in the record between the commands where the device saw them.
//!
//! Facts: usb-redirection-protocol.txt 0.7; ids of requests are chosen by the host, and QEMU's are addresses below 2^63.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::packet::{self, Packet, TransferStatus, capability, field, kind};
use super::trace::{Event, Trace};
use super::{IDLE, Options, gone, lock};
use crate::usb::Stall;

/// Ids of requests of the proxy's own have this bit.
const OWN: u64 = 1 << 63;
/// Pause between two looks at what nobody announces.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes of the header of a bulk packet with a 32-bit length.
const BULK_HEADER: usize = 10;

/// A request of the guest that the device has not answered.
#[derive(Debug)]
enum Passed {
    Bulk { endpoint: u8, data: Vec<u8> },
    Control { setup: [u8; 8], data: Vec<u8> },
    Configuration,
    Alternate,
}

#[derive(Debug)]
struct State {
    trace: Trace,
    /// The device's own greeting, for guests.
    hello: Option<Packet>,
    /// What the device last said of its layout, by kind, and of its being there.
    layout: BTreeMap<u32, Packet>,
    connected: Option<Packet>,
    passed: BTreeMap<u64, Passed>,
    /// Requests of our own, with their answers.
    own: BTreeMap<u64, Option<Result<Vec<u8>, Stall>>>,
    next: u64,
    /// The guest's next command waits.
    holding: bool,
    /// Guests that went away again.
    guests: u64,
    fault: Option<String>,
}

impl State {
    /// No command of the guest is under way.
    fn is_idle(&self) -> bool {
        self.passed.is_empty() && !self.trace.is_in_command()
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
    device: Mutex<UnixStream>,
    guest: Mutex<Option<UnixStream>>,
}

/// A running link. Dropping it ends its threads and removes the socket.
pub struct Proxy {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    socket: PathBuf,
    asking: Mutex<()>,
}

impl Proxy {
    /// Connects to the device's socket, waiting for it at most `patience`, and listens for guests on `socket`.
    ///
    /// # Errors
    /// The device's socket does not appear, or ours cannot be made.
    pub fn start(
        device: &Path,
        socket: &Path,
        options: Options,
        patience: Duration,
    ) -> io::Result<Self> {
        let stream = connect(device, patience)?;
        let reader = stream.try_clone()?;
        Self::between(stream, reader, socket, options)
    }

    /// As [`Proxy::start`], for a device that takes on its socket and sends into a named pipe.
    ///
    /// # Errors
    /// As [`Proxy::start`].
    pub fn start_with_pipe(
        (device, pipe): (&Path, &Path),
        socket: &Path,
        options: Options,
        patience: Duration,
    ) -> io::Result<Self> {
        let stream = connect(device, patience)?;
        let (reader, mut end) = UnixStream::pair()?;
        let pipe = pipe.to_path_buf();
        // Opening waits for the other side, and so does reading: the thread ends with the device.
        thread::Builder::new().name("usbredir pipe".into()).spawn(move || {
            std::fs::File::open(pipe).and_then(|mut pipe| io::copy(&mut pipe, &mut end))
        })?;
        Self::between(stream, reader, socket, options)
    }

    fn between(
        stream: UnixStream,
        reader: UnixStream,
        socket: &Path,
        options: Options,
    ) -> io::Result<Self> {
        reader.set_read_timeout(Some(IDLE))?;
        let listener = UnixListener::bind(socket)?;
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                trace: Trace::new(options),
                hello: None,
                layout: BTreeMap::new(),
                connected: None,
                passed: BTreeMap::new(),
                own: BTreeMap::new(),
                next: OWN,
                holding: false,
                guests: 0,
                fault: None,
            }),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
            device: Mutex::new(stream),
            guest: Mutex::new(None),
        });
        let (from_device, from_guest) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            thread::Builder::new().name("usbredir device".into()).spawn(move || {
                let result = from_device.serve_device(reader);
                from_device.ended("the device", result);
            })?,
            thread::Builder::new().name("usbredir guest".into()).spawn(move || {
                let result = from_guest.serve_guests(&listener);
                from_guest.ended("the guest", result);
            })?,
        ];
        Ok(Self { shared, threads, socket: socket.to_path_buf(), asking: Mutex::new(()) })
    }

    /// Waits until the device has said what it is.
    ///
    /// # Errors
    /// It did not within `patience`, or the link broke.
    pub fn wait_connected(&self, patience: Duration) -> io::Result<()> {
        let state = lock(&self.shared.state);
        self.shared.wait(state, patience, |state| state.connected.is_some()).map(drop)
    }

    /// A control request on endpoint 0, sent between two commands of the guest, whose next packet waits for the answer. The outer error
    /// is one of the link; the inner one the device's refusal.
    ///
    /// # Errors
    /// The command under way did not end, or the device did not answer, within `patience`; the link broke.
    pub fn control(
        &self,
        setup: [u8; 8],
        data: &[u8],
        patience: Duration,
    ) -> io::Result<Result<Vec<u8>, Stall>> {
        let _one_at_a_time = lock(&self.asking);
        let result = self.ask(setup, data, patience);
        lock(&self.shared.state).holding = false;
        self.shared.changed.notify_all();
        result
    }

    fn ask(
        &self,
        setup: [u8; 8],
        data: &[u8],
        patience: Duration,
    ) -> io::Result<Result<Vec<u8>, Stall>> {
        let mut state = lock(&self.shared.state);
        state.holding = true;
        let mut state = self
            .shared
            .wait(state, patience, |state| state.is_idle() && state.connected.is_some())?;
        let id = state.next;
        state.next = id.saturating_add(1);
        state.own.insert(id, None);
        drop(state);
        let [request_type, request, v0, v1, i0, i1, l0, l1] = setup;
        let endpoint = request_type & 0x80;
        let mut body = vec![endpoint, request, request_type, 0, v0, v1, i0, i1, l0, l1];
        body.extend(data);
        self.shared.to_device(&Packet { kind: kind::CONTROL_PACKET, id, body })?;
        let state = lock(&self.shared.state);
        let is_answered = |state: &State| state.own.get(&id).is_none_or(Option::is_some);
        let mut state = self.shared.wait(state, patience, is_answered)?;
        let answer = state.own.remove(&id).flatten();
        let answer = answer.ok_or_else(|| io::Error::other("the device went away"))?;
        let data_out = data.to_vec();
        state.trace.note(Event::Control { setup, data_out, answer: answer.clone() });
        Ok(answer)
    }

    /// What was recorded so far.
    pub fn trace(&self) -> Trace {
        lock(&self.shared.state).trace.clone()
    }

    /// Guests that came and went again.
    pub fn guests(&self) -> u64 {
        lock(&self.shared.state).guests
    }

    /// Ends the link and returns the record.
    ///
    /// # Errors
    /// One side broke the protocol, or a socket failed.
    pub fn stop(mut self) -> io::Result<Trace> {
        self.end();
        let state = lock(&self.shared.state);
        match &state.fault {
            Some(fault) => Err(io::Error::other(fault.clone())),
            None => Ok(state.trace.clone()),
        }
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                lock(&self.shared.state).fault = Some("a thread of the link panicked".into());
            }
        }
        // The socket may be gone already: its folder is often a temporary one.
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end();
    }
}

fn connect(device: &Path, patience: Duration) -> io::Result<UnixStream> {
    let begun = Instant::now();
    loop {
        match UnixStream::connect(device) {
            Err(_) if begun.elapsed() < patience => thread::sleep(PAUSE),
            other => return other,
        }
    }
}

fn broken(text: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, text)
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn ended(&self, side: &str, result: io::Result<()>) {
        if let Err(error) = result {
            lock(&self.state).fault.get_or_insert(format!("{side}: {error}"));
        }
        self.changed.notify_all();
    }

    /// Waits for a condition.
    fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        patience: Duration,
        is_met: impl Fn(&State) -> bool,
    ) -> io::Result<MutexGuard<'a, State>> {
        let begun = Instant::now();
        loop {
            if is_met(&state) {
                return Ok(state);
            }
            if let Some(fault) = &state.fault {
                return Err(io::Error::other(fault.clone()));
            }
            if begun.elapsed() >= patience || self.stopped() {
                return Err(ErrorKind::TimedOut.into());
            }
            let waited = self.changed.wait_timeout(state, PAUSE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn to_device(&self, packet: &Packet) -> io::Result<()> {
        let is_wide = packet.kind != kind::HELLO;
        let mut bytes = Vec::new();
        packet::append(&mut bytes, packet.kind, packet.id, &packet.body, is_wide);
        lock(&self.device).write_all(&bytes)
    }

    /// Reads from the device for as long as the link stands.
    fn serve_device(&self, mut stream: UnixStream) -> io::Result<()> {
        let mut input = Vec::new();
        let mut is_wide = false;
        while !self.stopped() {
            if !fill(&mut stream, &mut input)? {
                return if self.stopped() { Ok(()) } else { Err(broken("closed the link")) };
            }
            while let Some(packet) = packet::take(&mut input, is_wide)
                .map_err(|_| broken("a packet that is too long"))?
            {
                if packet.kind == kind::HELLO {
                    self.greeted(packet)?;
                    is_wide = true;
                } else if self.take_from_device(&packet) {
                    self.to_guest(&packet);
                }
            }
        }
        Ok(())
    }

    /// The device said hello: it is answered as QEMU would.
    fn greeted(&self, hello: Packet) -> io::Result<()> {
        let theirs = u32::from_le_bytes(field(&hello.body, 64));
        if theirs & capability::OURS != capability::OURS {
            return Err(broken("a capability is missing"));
        }
        lock(&self.state).hello = Some(hello);
        let mut body = b"daleel usbredir tap".to_vec();
        body.resize(64, 0);
        body.extend(capability::OURS.to_le_bytes());
        self.to_device(&Packet { kind: kind::HELLO, id: 0, body })
    }

    /// Records a packet of the device; whether it is for the guest.
    fn take_from_device(&self, packet: &Packet) -> bool {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let is_for_guest = match packet.kind {
            kind::INTERFACE_INFO | kind::EP_INFO => {
                state.layout.insert(packet.kind, packet.clone());
                true
            }
            kind::DEVICE_CONNECT => {
                state.connected = Some(packet.clone());
                true
            }
            kind::DEVICE_DISCONNECT => {
                state.connected = None;
                state.passed.clear();
                state.own.clear();
                state.trace.note(Event::Reset);
                true
            }
            _ if packet.id & OWN != 0 => {
                if let Some(place) = state.own.get_mut(&packet.id) {
                    *place = Some(control_answer(&packet.body));
                }
                false
            }
            _ => {
                if let Some(passed) = state.passed.remove(&packet.id) {
                    record(&mut state.trace, passed, &packet.body);
                }
                true
            }
        };
        drop(guard);
        self.changed.notify_all();
        is_for_guest
    }

    /// A guest that is not there, or is just going, misses nothing.
    fn to_guest(&self, packet: &Packet) {
        let mut guest = lock(&self.guest);
        if let Some(stream) = guest.as_mut() {
            let mut bytes = Vec::new();
            packet::append(&mut bytes, packet.kind, packet.id, &packet.body, true);
            if stream.write_all(&bytes).is_err() {
                *guest = None;
            }
        }
    }

    fn serve_guests(&self, listener: &UnixListener) -> io::Result<()> {
        while !self.stopped() {
            match listener.accept() {
                Ok((stream, _)) => {
                    let result = self.serve_guest(stream);
                    self.forget_guest()?;
                    result?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One guest, until it closes the connection.
    fn serve_guest(&self, mut stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(IDLE))?;
        let writer = stream.try_clone()?;
        self.greet(&mut stream)?;
        let mut writer = Some(writer);
        let mut input = Vec::new();
        let mut is_wide = false;
        while !self.stopped() {
            if !fill(&mut stream, &mut input)? {
                return Ok(());
            }
            while let Some(packet) = packet::take(&mut input, is_wide)
                .map_err(|_| broken("a packet that is too long"))?
            {
                match (packet.kind == kind::HELLO, writer.take()) {
                    (true, Some(writer)) => {
                        let theirs = u32::from_le_bytes(field(&packet.body, 64));
                        if theirs & capability::OURS != capability::OURS {
                            return Err(broken("a capability is missing"));
                        }
                        is_wide = true;
                        self.attach(writer)?;
                    }
                    (false, None) => self.pass_on(&packet)?,
                    _ => return Err(broken("a hello out of turn")),
                }
            }
        }
        Ok(())
    }

    /// Hands on the device's greeting, as soon as there is one.
    fn greet(&self, stream: &mut UnixStream) -> io::Result<()> {
        let state = lock(&self.state);
        let state = self.wait(state, Duration::from_secs(30), |state| state.hello.is_some())?;
        let hello = state.hello.clone();
        drop(state);
        let mut bytes = Vec::new();
        for hello in hello.iter() {
            packet::append(&mut bytes, kind::HELLO, 0, &hello.body, false);
        }
        stream.write_all(&bytes)
    }

    /// The guest has greeted: it learns what is there.
    fn attach(&self, mut stream: UnixStream) -> io::Result<()> {
        let mut guest = lock(&self.guest);
        let state = lock(&self.state);
        let mut bytes = Vec::new();
        if let Some(connected) = &state.connected {
            for packet in state.layout.values().chain([connected]) {
                packet::append(&mut bytes, packet.kind, packet.id, &packet.body, true);
            }
        }
        drop(state);
        stream.write_all(&bytes)?;
        *guest = Some(stream);
        Ok(())
    }

    fn forget_guest(&self) -> io::Result<()> {
        *lock(&self.guest) = None;
        let mut state = lock(&self.state);
        state.guests = state.guests.saturating_add(1);
        let left: Vec<u64> = state.passed.keys().copied().collect();
        state.passed.clear();
        state.trace.give_up();
        drop(state);
        for id in left {
            self.to_device(&Packet { kind: kind::CANCEL_DATA_PACKET, id, body: Vec::new() })?;
        }
        self.changed.notify_all();
        Ok(())
    }

    /// Passes a packet of the guest on, unless a request of our own is in turn.
    fn pass_on(&self, packet: &Packet) -> io::Result<()> {
        let mut state = lock(&self.state);
        while state.holding && state.is_idle() && !self.stopped() {
            let waited = self.changed.wait_timeout(state, PAUSE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if packet.id & OWN != 0 {
            return Err(broken("an id beyond those of QEMU"));
        }
        match packet.kind {
            kind::RESET => {
                state.passed.clear();
                state.trace.note(Event::Reset);
            }
            kind::CANCEL_DATA_PACKET => {
                if let Some(Passed::Bulk { endpoint, .. }) = state.passed.get(&packet.id) {
                    let endpoint = *endpoint;
                    state.trace.note(Event::Cancelled(endpoint));
                }
            }
            _ => {
                if let Some(passed) = request(packet) {
                    state.passed.insert(packet.id, passed);
                }
            }
        }
        drop(state);
        self.to_device(packet)
    }
}

/// Appends what has come; `false` at the end of the stream.
fn fill(stream: &mut UnixStream, input: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 1 << 16];
    match stream.read(&mut buffer) {
        Ok(length) => {
            input.extend(buffer.get(..length).unwrap_or_default());
            Ok(length > 0)
        }
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
            ) =>
        {
            Ok(true)
        }
        Err(error) if gone(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A packet of the guest that is answered.
fn request(packet: &Packet) -> Option<Passed> {
    let body = &packet.body;
    match packet.kind {
        kind::BULK_PACKET => {
            let [endpoint] = field(body, 0);
            let data = body.get(BULK_HEADER..).unwrap_or_default().to_vec();
            Some(Passed::Bulk { endpoint, data })
        }
        kind::CONTROL_PACKET => {
            let [_, request, request_type, _, v0, v1, i0, i1, l0, l1] = field(body, 0);
            let setup = [request_type, request, v0, v1, i0, i1, l0, l1];
            Some(Passed::Control { setup, data: body.get(10..).unwrap_or_default().to_vec() })
        }
        kind::SET_CONFIGURATION => Some(Passed::Configuration),
        kind::SET_ALT_SETTING => Some(Passed::Alternate),
        _ => None,
    }
}

/// Records a request with its answer.
fn record(trace: &mut Trace, passed: Passed, body: &[u8]) {
    match passed {
        Passed::Bulk { endpoint, data } => {
            let [_, status, l0, l1, _, _, _, _, h0, h1] = field(body, 0);
            let done = usize::try_from(u32::from_le_bytes([l0, l1, h0, h1])).unwrap_or(usize::MAX);
            let is_stalled = status == TransferStatus::Stall.code();
            if status == TransferStatus::Cancelled.code() {
                return;
            }
            if endpoint & 0x80 != 0 {
                let data = body.get(BULK_HEADER..).unwrap_or_default();
                if !(is_stalled && data.is_empty()) {
                    trace.bulk_in(data);
                }
            } else {
                let taken = data.get(..done).unwrap_or(&data);
                if !(is_stalled && taken.is_empty()) {
                    trace.bulk_out(taken);
                }
            }
            if is_stalled {
                trace.note(Event::Stalled(endpoint));
            }
        }
        Passed::Control { setup, data } => {
            trace.note(Event::Control { setup, data_out: data, answer: control_answer(body) });
        }
        Passed::Configuration => {
            let [_, value] = field(body, 0);
            trace.note(Event::Configuration(value));
        }
        Passed::Alternate => {
            let [_, interface, setting] = field(body, 0);
            trace.note(Event::AlternateSetting(interface, setting));
        }
    }
}

/// The answer in a control packet of the device; every failure counts as a refusal.
fn control_answer(body: &[u8]) -> Result<Vec<u8>, Stall> {
    let [_, _, request_type, status] = field(body, 0);
    if status != TransferStatus::Success.code() {
        return Err(Stall);
    }
    let data = body.get(10..).unwrap_or_default();
    Ok(if request_type & 0x80 != 0 { data.to_vec() } else { Vec::new() })
}

#[cfg(test)]
mod tests;
