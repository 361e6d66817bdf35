//! Where log frames go: into an RTT channel for a debug probe, and into a ring that the board sends over interface 1.
//!
//! Facts: the published requirements, section 5.1 (interface 1 carries defmt frames as they are, dropped when nobody reads); defmt's
//! contract for a global logger. A frame that finds no room is lost; the frames behind it are found again, since each ends
//! with a zero byte.
#![no_std]

use core::cell::RefCell;

use critical_section::{Mutex, RestoreState};
use heapless::Deque;
use rtt_target::UpChannel;

/// Bytes of frames that wait for interface 1.
const RING_BYTES: usize = 1024;

struct Sink {
    ring: Deque<u8, RING_BYTES>,
    channel: Option<UpChannel>,
    encoder: defmt::Encoder,
    /// Interrupt state to return to when the frame is done.
    restore: Option<RestoreState>,
    is_taken: bool,
}

impl Sink {
    fn put(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.ring.is_full() {
                self.ring.pop_front();
            }
            // There is room: one was taken out.
            let _ = self.ring.push_back(*byte);
        }
        if let Some(channel) = &mut self.channel {
            channel.write(bytes);
        }
    }
}

static SINK: Mutex<RefCell<Sink>> = Mutex::new(RefCell::new(Sink {
    ring: Deque::new(),
    channel: None,
    encoder: defmt::Encoder::new(),
    restore: None,
    is_taken: false,
}));

/// Sets up the RTT channel for a probe. To be called once, at power-up.
pub fn init() {
    let channels = rtt_target::rtt_init! {
        up: { 0: { size: 1024, mode: rtt_target::ChannelMode::NoBlockSkip, name: "defmt" } }
    };
    critical_section::with(|section| {
        SINK.borrow_ref_mut(section).channel = Some(channels.up.0);
    });
}

/// Hands frames to `send`, which says how many bytes it took; what it took is let go.
pub fn drain(mut send: impl FnMut(&[u8]) -> usize) {
    critical_section::with(|section| {
        let ring = &mut SINK.borrow_ref_mut(section).ring;
        if ring.is_empty() {
            return;
        }
        let taken = send(ring.as_slices().0);
        for _ in 0..taken {
            ring.pop_front();
        }
    });
}

#[defmt::global_logger]
struct Logger;

/// Runs `f` with the sink while interrupts are off since [`defmt::Logger::acquire`].
fn with_sink<T>(f: impl FnOnce(&mut Sink) -> T) -> T {
    critical_section::with(|section| f(&mut SINK.borrow_ref_mut(section)))
}

/// One encoder call: it needs the sink twice, as the encoder and as the writer.
fn encode(step: impl FnOnce(&mut defmt::Encoder, &mut dyn FnMut(&[u8]))) {
    with_sink(|sink| {
        let mut encoder = core::mem::replace(&mut sink.encoder, defmt::Encoder::new());
        step(&mut encoder, &mut |bytes| sink.put(bytes));
        sink.encoder = encoder;
    });
}

// SAFETY: `acquire` turns interrupts off until `release`, on chips with one core in use, so no other context can come in between; a
// second acquire in the same context is refused by the flag.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        // SAFETY: `release` gives the state back, once for each acquire.
        let restore = unsafe { critical_section::acquire() };
        let was_taken = with_sink(|sink| {
            let was_taken = core::mem::replace(&mut sink.is_taken, true);
            if !was_taken {
                sink.restore = Some(restore);
            }
            was_taken
        });
        // A log line within a log line: nothing sensible can come of it.
        assert!(!was_taken, "log line within a log line");
        encode(|encoder, put| encoder.start_frame(|bytes| put(bytes)));
    }

    // SAFETY: nothing is done. Frames leave by the probe or by `drain`, neither of which can be waited for here.
    unsafe fn flush() {}

    // SAFETY: defmt calls it once after each `acquire` that returned, in the same context: interrupts are off and the frame is this one.
    unsafe fn release() {
        encode(|encoder, put| encoder.end_frame(|bytes| put(bytes)));
        let restore = with_sink(|sink| {
            sink.is_taken = false;
            sink.restore.take()
        });
        if let Some(restore) = restore {
            // SAFETY: the state is that of the matching acquire.
            unsafe { critical_section::release(restore) };
        }
    }

    // SAFETY: defmt calls it only between `acquire` and `release`: interrupts are off and the frame is begun.
    unsafe fn write(bytes: &[u8]) {
        encode(|encoder, put| encoder.write(bytes, |bytes| put(bytes)));
    }
}
