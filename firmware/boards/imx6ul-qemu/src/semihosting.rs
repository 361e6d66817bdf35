//! Text, exit code and command line by semihosting: requests to QEMU.
//!
//! Facts: Semihosting for AArch32 and AArch64, release 2.0, section 6.

use core::{arch::asm, fmt};

const SYS_OPEN: u32 = 0x01;
/// Mode of SYS_OPEN: "r+b", which neither makes nor cuts a file.
const MODE_UPDATE: u32 = 3;
const SYS_WRITE0: u32 = 0x04;
const SYS_WRITE: u32 = 0x05;
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

/// A file of the computer that QEMU runs on.
#[derive(Debug)]
pub struct File {
    handle: u32,
}

impl File {
    /// Opens an existing file, or a named pipe, for writing.
    pub fn open(path: &str) -> Option<Self> {
        let mut name = [0_u8; LINE_BYTES + 1];
        let room = name.get_mut(..path.len()).filter(|room| room.len() <= LINE_BYTES)?;
        room.copy_from_slice(path.as_bytes());
        let length = u32::try_from(path.len()).ok()?;
        let block = [word(name.as_ptr().expose_provenance()), MODE_UPDATE, length];
        let handle = request(SYS_OPEN, block.as_ptr().expose_provenance());
        (handle != u32::MAX).then_some(Self { handle })
    }

    /// Writes all of it; QEMU, and this program with it, waits while a pipe is full. What cannot be written is lost.
    pub fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let block = [self.handle, word(rest.as_ptr().expose_provenance()), word(rest.len())];
            let left = request(SYS_WRITE, block.as_ptr().expose_provenance());
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            if left >= rest.len() {
                return;
            }
            let written = rest.len().saturating_sub(left);
            rest = rest.get(written..).unwrap_or_default();
        }
    }
}

/// An address or length in an argument block.
fn word(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(0)
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
    let mut block = [word(room.as_mut_ptr().expose_provenance()), capacity];
    let failed = request(SYS_GET_CMDLINE, block.as_mut_ptr().expose_provenance());
    // SAFETY: the block is ours; QEMU has written the length over the second word, unseen by the compiler.
    let length = unsafe { core::ptr::read_volatile(&raw const block[1]) };
    let length = usize::try_from(length).unwrap_or(0);
    match room.get(..length) {
        Some(words) if failed == 0 => core::str::from_utf8(words).unwrap_or(""),
        _ => "",
    }
}
