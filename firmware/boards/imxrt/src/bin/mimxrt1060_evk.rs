//! The write blocker on the MIMXRT1060-EVK.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod image {
    use imxrt::{board::Board, fcb};

    // SAFETY: the names are those that the linker script and the boot ROM expect; there is one of each.
    #[unsafe(no_mangle)]
    #[unsafe(link_section = ".fcb")]
    static FLEXSPI_CONFIGURATION_BLOCK: fcb::ConfigurationBlock = fcb::block();

    #[imxrt_rt::entry]
    fn main() -> ! {
        imxrt::run(&Board::MIMXRT1060_EVK)
    }
}

#[cfg(not(target_os = "none"))]
fn main() {}
