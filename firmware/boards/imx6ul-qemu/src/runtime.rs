//! From power-up to `main`: vectors, stack, cleared memory; and what ends the program when it goes wrong.
//!
//! Every exception is an error here: it is reported by semihosting and QEMU ends with exit code 2; a panic ends it with 1.

use core::{arch::global_asm, panic::PanicInfo};

use crate::{say, semihosting::exit};

// Interrupts stay off. QEMU enters with MMU and caches off.
global_asm!(
    ".section .vector_table, \"ax\"",
    ".arm",
    ".balign 32",
    "vectors:",
    "b _start",
    "b on_undefined",
    "b on_call",
    "b on_prefetch",
    "b on_data",
    "b on_reserved",
    "b on_irq",
    "b on_fiq",
    ".section .text._start, \"ax\"",
    ".global _start",
    "_start:",
    "cpsid aif",
    "ldr r0, =vectors",
    "mcr p15, 0, r0, c12, c0, 0",
    "ldr sp, =__stack_top",
    "ldr r0, =__bss_start",
    "ldr r1, =__bss_end",
    "mov r2, #0",
    "1: cmp r0, r1",
    "strlo r2, [r0], #4",
    "blo 1b",
    "bl board_main",
    "b .",
    // A supervisor call comes here only without semihosting: nobody would hear a report.
    "on_call: wfi",
    "b on_call",
    "on_undefined: mov r0, #0",
    "b report",
    "on_prefetch: mov r0, #1",
    "b report",
    "on_data: mov r0, #2",
    "b report",
    "on_reserved: mov r0, #3",
    "b report",
    "on_irq: mov r0, #4",
    "b report",
    "on_fiq: mov r0, #5",
    "report: mov r1, lr",
    "mrc p15, 0, r2, c6, c0, 0",
    "mrc p15, 0, r3, c5, c0, 0",
    "ldr sp, =__exception_stack_top",
    "bl board_exception",
    "b .",
);

const EXCEPTIONS: [&str; 6] =
    ["undefined instruction", "prefetch abort", "data abort", "reserved vector", "IRQ", "FIQ"];

// SAFETY: the name is this crate's own, and the assembler above calls it with the registers of this signature.
#[unsafe(no_mangle)]
extern "C" fn board_exception(kind: u32, link: u32, fault_address: u32, fault_status: u32) -> ! {
    let name = usize::try_from(kind).ok().and_then(|kind| EXCEPTIONS.get(kind).copied());
    say!(
        "EXCEPTION {} lr={link:08x} dfar={fault_address:08x} dfsr={fault_status:08x}",
        name.unwrap_or("unknown")
    );
    exit(2)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    say!("PANIC {info}");
    exit(1)
}

/// Names the function that runs after power-up.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        // SAFETY: the name is the one that the runtime calls, once, with a stack and cleared memory.
        #[unsafe(no_mangle)]
        extern "C" fn board_main() -> ! {
            let main: fn() -> ! = $main;
            main()
        }
    };
}
