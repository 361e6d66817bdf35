//! The emulated board: QEMU's `mcimx6ul-evk` with the bridge's image, a USB disk of QEMU on its host port, and its serial port as its
//! device side.
//!
//! The disk's image has errors injected (`blkdebug`) and is opened for writing, so that a write that got through would be in the file.
//! QEMU's own disk tells, by its trace events, every command wrapper that reached it and every byte towards it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use wb_sim::{
    guest::{Ended, has_program},
    usbredir::{Options, Proxy},
};

const QEMU: &str = "qemu-system-arm";
/// Serial number that the disk is given.
pub const SERIAL: &str = "QEMU-EXHIBIT-7";
/// Revision of the disk: QEMU's version for machines since 2.5.
pub const REVISION: &str = "2.5+";
/// Seed of the key, as a board has it after it was provisioned.
pub const SEED: [u8; 32] = [0x11; 32];

/// What QEMU's disk tells: a command wrapper, its command block, data towards it, a broken transport.
const EVENTS: [&str; 4] =
    ["usb_msd_cmd_submit", "scsi_disk_new_request", "usb_msd_data_out", "usb_msd_fatal_error"];
/// Operation codes with which a disk is asked and read, and nothing else: TEST UNIT READY, REQUEST SENSE, INQUIRY, MODE SENSE(6),
/// READ CAPACITY(10), READ(10), LOG SENSE, MODE SENSE(10), ATA PASS-THROUGH, READ(16), READ CAPACITY(16), REPORT LUNS.
const ASKING: [u8; 13] =
    [0x00, 0x03, 0x12, 0x1A, 0x25, 0x28, 0x4D, 0x5A, 0x85, 0x88, 0x9E, 0xA0, 0xA1];

/// A running board.
pub struct Board {
    machine: Ended,
    serial: PathBuf,
    pipe: PathBuf,
    log: PathBuf,
    trace: PathBuf,
}

/// Folder of the images that `cargo xtask firmware` makes, or `DALEEL_FIRMWARE`.
pub fn firmware(name: &str) -> Result<PathBuf, String> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("DALEEL_FIRMWARE")
        .map_or_else(|| home.join("../../target/firmware"), PathBuf::from);
    let image = folder.join(name);
    if image.exists() { Ok(image) } else { Err(format!("no {name}: `cargo xtask firmware`")) }
}

impl Board {
    /// The board's image, if it and its emulator are here.
    pub fn find() -> Result<PathBuf, String> {
        if !has_program(QEMU) {
            return Err(format!("no {QEMU}"));
        }
        firmware("imx6ul-qemu.elf")
    }

    /// A board in front of the image `file`, whose blocks `bad` cannot be read.
    pub fn start(firmware: &Path, folder: &Path, file: &Path, bad: &[u64]) -> Self {
        let [serial, pipe, log, trace] =
            ["serial", "pipe", "log", "trace"].map(|name| folder.join(name));
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success(), "mkfifo");
        let said = fs::File::create(&log).unwrap();
        let errors: Vec<String> = bad
            .iter()
            .map(|lba| format!(r#"{{"event":"none","sector":{lba},"errno":5,"once":false}}"#))
            .collect();
        // QEMU does not take an empty list.
        let errors = match errors.join(",") {
            list if list.is_empty() => list,
            list => format!(r#","inject-error":[{list}]"#),
        };
        let disk = format!(
            r#"{{"driver":"blkdebug","node-name":"d","image":{{"driver":"file","filename":"{}"}}{errors}}}"#,
            file.display(),
        );
        let seed: String = SEED.iter().map(|byte| format!("{byte:02x}")).collect();
        let words = format!(
            "enable=on,target=native,arg=imx6ul-qemu,arg=ident,arg=seed={seed},arg=out={}",
            pipe.display()
        );
        let child = Command::new(QEMU)
            .args(["-M", "mcimx6ul-evk", "-m", "128M", "-nographic", "-monitor", "none"])
            .args(["-serial", &format!("unix:{},server=on,wait=on", serial.display())])
            .args(["-semihosting-config", &words, "-kernel"])
            .arg(firmware)
            .args(["-blockdev", &disk, "-device"])
            .arg(format!("usb-storage,drive=d,bus=usb-bus.0,serial={SERIAL}"))
            .args(EVENTS.iter().flat_map(|event| ["-trace", event]))
            .arg("-D")
            .arg(&trace)
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        Self { machine: Ended(child), serial, pipe, log, trace }
    }

    /// The link to its device side.
    pub fn link(&self, socket: &Path, patience: Duration) -> Proxy {
        let ends = (self.serial.as_path(), self.pipe.as_path());
        let proxy = Proxy::start_with_pipe(ends, socket, Options::default(), patience);
        let said = || fs::read_to_string(&self.log).unwrap_or_default();
        proxy.unwrap_or_else(|error| panic!("no link to the board: {error}\n{}", said()))
    }

    /// Ends the emulator, and judges what reached its disk; the number of command wrappers.
    pub fn judge(self) -> u64 {
        drop(self.machine);
        let said = fs::read_to_string(&self.log).unwrap();
        assert!(!said.contains("PANIC"), "{said}");
        let trace = fs::read_to_string(&self.trace).unwrap();
        let (mut wrappers, mut commands) = (0, 0);
        for event in trace.lines() {
            if let Some((_, block)) = event.split_once("scsi_disk_new_request") {
                judge_command(block);
                commands += 1;
                continue;
            }
            assert!(event.contains("usb_msd_cmd_submit"), "the disk was told {event}");
            let is_in = event.contains("flags 0x00000080");
            assert!(is_in || event.ends_with("data-len 0"), "data towards the disk: {event}");
            wrappers += 1;
        }
        // What the layer above the disk answers for it, such as REPORT LUNS, is no request to the disk.
        assert!(commands > 0 && commands <= wrappers, "{commands} of {wrappers} commands");
        wrappers
    }
}

/// A command block as QEMU prints it: "... data= 0x28 0x00 ...".
fn judge_command(text: &str) {
    let (_, bytes) = text.split_once("data=").expect("the command block");
    let byte = |word: &str| u8::from_str_radix(word.trim_start_matches("0x"), 16).unwrap();
    let cdb: Vec<u8> = bytes.split_whitespace().map(byte).collect();
    assert!(ASKING.contains(&cdb[0]), "reached the disk: {cdb:02X?}");
    // Of the ATA commands IDENTIFY alone, of SERVICE ACTION IN READ CAPACITY(16).
    assert!(cdb[0] != 0x85 || cdb[14] == 0xEC, "reached the disk: {cdb:02X?}");
    assert!(cdb[0] != 0xA1 || cdb[9] == 0xEC, "reached the disk: {cdb:02X?}");
    assert!(cdb[0] != 0x9E || cdb[1] & 0x1F == 0x10, "reached the disk: {cdb:02X?}");
}
