//! A second stack, in OCRAM, for the one step at power-up that needs more than the first has room for.

use core::{arch::asm, cell::UnsafeCell, mem::MaybeUninit};

const BYTES: usize = 192 * 1024;

/// The stack; stacks begin on a boundary of eight bytes.
#[repr(C, align(8))]
struct Stack(UnsafeCell<MaybeUninit<[u8; BYTES]>>);

// SAFETY: only `call` uses it, which is not called from within itself or from an interrupt.
unsafe impl Sync for Stack {}

#[unsafe(link_section = ".uninit.stack")]
static STACK: Stack = Stack(UnsafeCell::new(MaybeUninit::uninit()));

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
    let top = STACK.0.get().cast::<u8>().wrapping_add(BYTES);
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
