//! Ctrl-C: the running command finishes what it has in hand, says how to go on, and ends (U-5).

use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Catches interrupts and termination from now on.
pub fn watch() {
    // Fails only when a handler is set already; then that one is ours.
    let _ = ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed));
}

/// True once an interrupt arrived.
pub fn arrived() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
