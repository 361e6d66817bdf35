//! Text, exit code and command line by semihosting: requests to QEMU.
//!
//! Facts: Semihosting for AArch32 and AArch64, release 2.0, section 6.

use core::{arch::asm, fmt};

const SYS_WRITE0: u32 = 0x04;
const SYS_GET_CMDLINE: u32 = 0x15;
const SYS_EXIT_EXTENDED: u32 = 0x20;
/// ADP_Stopped_ApplicationExit.
const APPLICATION_EXIT: u32 = 0x2_0026;

/// One request with the address of its argument block.
fn request(operation: u32, argument: usize) -> u32 {
    let answer;
    // SAFETY: QEMU takes the call as a request; it reads and writes only the block that the callers below give it.
    unsafe {
        asm!("svc 0x123456", inlateout("r0") operation => answer, in("r1") argument, out("lr") _);
    }
    answer
}

/// QEMU's standard output, line by line.
pub struct Output;

const LINE_BYTES: usize = 128;

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.as_bytes().chunks(LINE_BYTES) {
            let mut line = [0_u8; LINE_BYTES + 1];
            for (to, from) in line.iter_mut().zip(part) {
                *to = *from;
            }
            request(SYS_WRITE0, line.as_ptr().expose_provenance());
        }
        Ok(())
    }
}

/// Prints a line.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        use core::fmt::Write as _;
        // Output cannot fail.
        let _ = writeln!($crate::semihosting::Output, $($text)*);
    }};
}

/// Ends QEMU with this exit code.
pub fn exit(code: u32) -> ! {
    let block = [APPLICATION_EXIT, code];
    request(SYS_EXIT_EXTENDED, block.as_ptr().expose_provenance());
    loop {
        core::hint::spin_loop();
    }
}

/// Copies QEMU's `arg=` words into `room`, and gives what is text of them.
pub fn command_line(room: &mut [u8]) -> &str {
    let capacity = u32::try_from(room.len()).unwrap_or(u32::MAX);
    let mut block = [u32::try_from(room.as_mut_ptr().expose_provenance()).unwrap_or(0), capacity];
    let failed = request(SYS_GET_CMDLINE, block.as_mut_ptr().expose_provenance());
    // SAFETY: the block is ours; QEMU has written the length over the second word, unseen by the compiler.
    let length = unsafe { core::ptr::read_volatile(&raw const block[1]) };
    let length = usize::try_from(length).unwrap_or(0);
    match room.get(..length) {
        Some(words) if failed == 0 => core::str::from_utf8(words).unwrap_or(""),
        _ => "",
    }
}
