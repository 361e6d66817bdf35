//! A usbredir peer, device side: serves any [`UsbDevice`] to QEMU's `-device usb-redir`.
//!
//! ```text
//! qemu-system-x86_64 ... -device qemu-xhci \
//!     -chardev socket,id=ur,path=SOCKET -device usb-redir,chardev=ur
//! ```
//!
//! [`Session`] is the protocol without input or output; [`Server`] puts it behind a Unix socket. The
//! device stays with the caller (`Arc<Mutex<_>>`), so a test can send it control requests, or look at
//! its state, while the guest runs and after it has ended.
//!
//! Facts: usb-redirection-protocol.txt, version 0.7 (SPICE project); what QEMU's controllers need in
//! practice: xHCI wants the capabilities for packet sizes and 64-bit ids, QEMU answers SET_ADDRESS
//! itself and sends SET_CONFIGURATION and SET_INTERFACE as packets of their own.

mod packet;
mod proxy;
mod session;
mod trace;

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use proxy::Proxy;
pub use session::{ProtocolError, Session};
pub use trace::{Counters, Event, Trace};

use crate::usb::UsbDevice;

/// Pause when nothing happens.
const IDLE: Duration = Duration::from_millis(2);
/// A guest that does not take data for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Rounds without a look at the socket while the device makes progress.
const ROUNDS: usize = 64;

/// How a session is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Keeps every command, status and control request, not only the counters.
    pub record: bool,
    /// Events kept; later ones are only counted.
    pub max_events: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { record: true, max_events: 1 << 20 }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Shared<D> {
    device: Arc<Mutex<D>>,
    trace: Mutex<Trace>,
    stop: AtomicBool,
    opened: AtomicU64,
    closed: AtomicU64,
}

/// A running peer. Dropping it ends the thread and removes the socket.
pub struct Server<D> {
    shared: Arc<Shared<D>>,
    thread: Option<JoinHandle<io::Result<()>>>,
    socket: PathBuf,
}

impl<D: UsbDevice + Send + 'static> Server<D> {
    /// Listens on `socket` (removed first if a socket is left there) and serves one guest after the
    /// other.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn start(device: Arc<Mutex<D>>, socket: &Path, options: Options) -> io::Result<Self> {
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(socket)?;
        listener.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            device,
            trace: Mutex::new(Trace::new(options)),
            stop: AtomicBool::new(false),
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
        });
        let for_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("usbredir".into())
            .spawn(move || for_thread.accept(&listener))?;
        Ok(Self { shared, thread: Some(thread), socket: socket.to_path_buf() })
    }

    /// The device.
    pub fn device(&self) -> &Arc<Mutex<D>> {
        &self.shared.device
    }

    /// What was recorded so far.
    pub fn trace(&self) -> Trace {
        lock(&self.shared.trace).clone()
    }

    /// Guests that connected, and guests that went away again.
    pub fn connections(&self) -> (u64, u64) {
        (self.shared.opened.load(Ordering::SeqCst), self.shared.closed.load(Ordering::SeqCst))
    }

    /// Ends the peer and returns the record.
    ///
    /// # Errors
    /// The guest broke the protocol or the socket failed.
    pub fn stop(mut self) -> io::Result<Trace> {
        self.end()?;
        Ok(self.trace())
    }
}

impl<D> Server<D> {
    fn end(&mut self) -> io::Result<()> {
        self.shared.stop.store(true, Ordering::SeqCst);
        let result = match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(io::Error::other("the usbredir thread panicked")),
            Some(Ok(result)) => result,
            None => Ok(()),
        };
        // The socket may be gone already: its folder is often a temporary one.
        let _ = std::fs::remove_file(&self.socket);
        result
    }
}

impl<D> Drop for Server<D> {
    fn drop(&mut self) {
        // Nobody is left to take the error.
        let _ = self.end();
    }
}

impl<D: UsbDevice> Shared<D> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn accept(&self, listener: &UnixListener) -> io::Result<()> {
        while !self.stopped() {
            match listener.accept() {
                Ok((stream, _)) => {
                    self.opened.fetch_add(1, Ordering::SeqCst);
                    let result = self.serve(stream);
                    self.closed.fetch_add(1, Ordering::SeqCst);
                    result?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    lock(&self.device).tick();
                    thread::sleep(IDLE);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One guest, until it closes the connection.
    fn serve(&self, mut stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(IDLE))?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let mut session = Session::new();
        let mut buffer = vec![0; 1 << 16];
        while !self.stopped() {
            let output = self.turn(&mut session);
            if !output.is_empty() {
                match stream.write_all(&output) {
                    Err(error) if gone(&error) => return Ok(()),
                    other => other?,
                }
            }
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    let mut device = lock(&self.device);
                    session
                        .feed(&mut *device, bytes, &mut lock(&self.trace))
                        .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if gone(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Lets the device work and collects what is to be sent.
    fn turn(&self, session: &mut Session) -> Vec<u8> {
        for _ in 0..ROUNDS {
            let mut device = lock(&self.device);
            device.tick();
            if !session.poll(&mut *device, &mut lock(&self.trace)) {
                break;
            }
        }
        session.take_output()
    }
}

/// The guest ended: no fault of the peer.
fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests;
