//! OCRAM, which is neither loaded nor cleared: a second stack, for the one step at power-up that needs more than the first has room for, and the
//! room for a statement.

use core::{arch::asm, cell::UnsafeCell, mem::MaybeUninit};

const BYTES: usize = 192 * 1024;

/// Room for a statement.
const STATEMENT: usize = 65_535;

/// The stack first: below it there is no memory, which stops an overflow. Stacks begin on a boundary of eight bytes.
#[repr(C, align(8))]
struct Memory {
    stack: UnsafeCell<MaybeUninit<[u8; BYTES]>>,
    statement: UnsafeCell<MaybeUninit<[u8; STATEMENT]>>,
}

// SAFETY: only `call` uses the stack, which is not called from within itself or from an interrupt; only `statement_room` uses the room, once.
unsafe impl Sync for Memory {}

// SAFETY: the name is this crate's own; it is for the linker script, which sees to it that this is all, from the first byte on. The section
// is not set up at power-up, and both parts may hold anything.
#[unsafe(export_name = "__ocram")]
#[unsafe(link_section = ".uninit.ocram")]
static MEMORY: Memory = Memory {
    stack: UnsafeCell::new(MaybeUninit::uninit()),
    statement: UnsafeCell::new(MaybeUninit::uninit()),
};

/// The room for a statement, cleared.
///
/// # Safety
/// To be called once.
pub unsafe fn statement_room() -> &'static mut [u8] {
    // SAFETY: by the contract of this function nobody else has it.
    let room = unsafe { &mut *MEMORY.statement.get() };
    room.write([0; STATEMENT])
}

/// Runs `work` on the large stack. Interrupts are off, and `work` does not call this again.
pub fn call(mut work: impl FnMut()) {
    call_with(&mut work);
}

fn call_with<F: FnMut()>(work: &mut F) {
    extern "C" fn enter<F: FnMut()>(work: *mut F) {
        // SAFETY: the pointer is that of the exclusive reference below, which waits for this call.
        let work = unsafe { &mut *work };
        work();
    }
    let top = MEMORY.stack.get().cast::<u8>().wrapping_add(BYTES);
    let function: extern "C" fn(*mut F) = enter::<F>;
    // SAFETY: the stack is free and larger than what is called there fills; the stack pointer is put back, and what a call may change (AAPCS, hard float) is listed.
    // A panic does not unwind.
    unsafe {
        asm!(
            "mov r4, sp",
            "mov sp, {top}",
            "blx {function}",
            "mov sp, r4",
            top = in(reg) top,
            function = in(reg) function,
            inlateout("r0") work => _,
            out("r4") _,
            lateout("r1") _,
            lateout("r2") _,
            lateout("r3") _,
            lateout("r12") _,
            lateout("lr") _,
            lateout("d0") _,
            lateout("d1") _,
            lateout("d2") _,
            lateout("d3") _,
            lateout("d4") _,
            lateout("d5") _,
            lateout("d6") _,
            lateout("d7") _,
        );
    }
}
