//! The scenarios: see the program's description.

use core::fmt::Write as _;

use chipidea::Config;
use imx6ul_qemu::{
    drive_port::{CONFIG, SLOT_BYTES},
    say,
};
use sha2::{Digest, Sha256};
use wb_bridge::{
    drive::Slot,
    host::{HostController, Into, PipeFault, Port, Request},
};
use wb_policy::down::{DownCommand, InquiryBytes};

use crate::disk::{Disk, Ended, Failure};

const SLOT_BLOCKS: u32 = 128;
const _: () = assert!(SLOT_BYTES == 128 * 512);

/// Lengths of pieces: one block, odd ones, one descriptor, one more, a whole slot.
const PIECES: [u32; 8] = [1, 3, 32, 33, 127, 128, 64, 2];

pub fn read() -> Result<(), Failure> {
    let mut disk = Disk::open(CONFIG);
    disk.enumerate()?;
    stalled_request(&mut disk)?;
    inquiry_cut_short(&mut disk)?;
    disk.make_ready()?;
    let begun = disk.clock.now();
    whole_disk(&mut disk, &PIECES)?;
    let micros = disk.clock.now().saturating_sub(begun);
    say!("TIME micros={micros}");
    Ok(())
}

/// An interface that the disk does not have is answered by STALL; the next request works.
fn stalled_request(disk: &mut Disk) -> Result<(), Failure> {
    match disk.control(&Request::SetInterface { interface: 7, alternate: 0 }) {
        Err(PipeFault::Stall) => say!("STALL request"),
        other => {
            say!("NO-STALL {other:?}");
            return Err(Failure::Unexpected("no stall"));
        }
    }
    disk.control(&Request::DeviceDescriptor { length: 18 })?;
    Ok(())
}

/// A chain that is cut by a short packet: the status that follows must not end up in it.
fn inquiry_cut_short(disk: &mut Disk) -> Result<(), Failure> {
    let length = InquiryBytes::new(36).ok_or(Failure::Refused)?;
    disk.send(&DownCommand::Inquiry(length))?;
    disk.host.start_in(Into::Slot(Slot::A), SLOT_BYTES, disk.clock.now());
    let moved = disk.finish()?;
    let ended = disk.status(moved)?;
    say!("INQUIRY {moved} status={} {:02x?}", ended.status, disk.host.data(Into::Slot(Slot::A)));
    Ok(())
}

/// Reads everything in pieces of these lengths, one slot after the other, and prints the digest.
fn whole_disk(disk: &mut Disk, pieces: &[u32]) -> Result<(), Failure> {
    let mut digest = Sha256::new();
    let mut lba = 0;
    let mut slot = Slot::A;
    let mut lengths = pieces.iter().copied().cycle();
    while lba < disk.geometry.blocks {
        let left = u32::try_from(disk.geometry.blocks.saturating_sub(lba)).unwrap_or(u32::MAX);
        let blocks = lengths.next().unwrap_or(1).min(SLOT_BLOCKS).min(left);
        good(disk.read(lba, blocks, slot)?)?;
        digest.update(disk.host.data(Into::Slot(slot)));
        lba = lba.saturating_add(u64::from(blocks));
        slot = slot.other();
    }
    print_digest(lba, digest);
    Ok(())
}

fn print_digest(blocks: u64, digest: Sha256) {
    let mut hex = heapless::String::<64>::new();
    for byte in digest.finalize() {
        // There is room for 64 digits.
        let _ = write!(hex, "{byte:02x}");
    }
    say!("DIGEST {blocks} {hex}");
}

fn good(ended: Ended) -> Result<(), Failure> {
    if ended.status == 0 && ended.residue == 0 {
        Ok(())
    } else {
        Err(Failure::Command(ended.status))
    }
}

pub fn errors() -> Result<(), Failure> {
    const BLOCKS: u32 = 8;
    let mut disk = Disk::open(CONFIG);
    disk.enumerate()?;
    disk.make_ready()?;
    let mut digest = Sha256::new();
    let mut lba = 0;
    while lba < disk.geometry.blocks {
        if disk.read(lba, BLOCKS, Slot::A)?.status == 0 {
            digest.update(disk.host.data(Into::Slot(Slot::A)));
        } else {
            sense(&mut disk, lba)?;
            for one in lba..lba.saturating_add(u64::from(BLOCKS)) {
                if disk.read(one, 1, Slot::B)?.status == 0 {
                    digest.update(disk.host.data(Into::Slot(Slot::B)));
                } else {
                    say!("UNREADABLE {one}");
                    sense(&mut disk, one)?;
                    digest.update([0; 512]);
                }
            }
        }
        lba = lba.saturating_add(u64::from(BLOCKS));
    }
    print_digest(lba, digest);
    Ok(())
}

fn sense(disk: &mut Disk, lba: u64) -> Result<(), Failure> {
    good(disk.command(&DownCommand::RequestSense, Slot::A)?).ok();
    say!("ERROR lba={lba} sense={:02x?}", disk.host.data(Into::Slot(Slot::A)));
    Ok(())
}

pub fn empty() -> Result<(), Failure> {
    let mut disk = Disk::open(CONFIG);
    let port = disk.wait_port(|port| port != Port::Empty, 2_000_000);
    if port != Port::Empty {
        return Err(Failure::Port(port));
    }
    disk.host.start_control(0, 64, &Request::SetAddress(1), disk.clock.now());
    match disk.finish() {
        Err(PipeFault::Gone) => Ok(()),
        _ => Err(Failure::Unexpected("an answer from an empty port")),
    }
}

pub fn replug() -> Result<(), Failure> {
    let mut disk = Disk::open(CONFIG);
    disk.enumerate()?;
    disk.make_ready()?;
    say!("PULL now");
    let until = disk.clock.now().saturating_add(60_000_000);
    let failure = loop {
        match disk.read(0, SLOT_BLOCKS, Slot::A) {
            Err(failure) => break failure,
            Ok(_) if disk.clock.now() >= until => return Err(Failure::Unexpected("still there")),
            Ok(_) => {}
        }
    };
    let port = disk.wait_port(|port| port == Port::Empty, 1_000_000);
    say!("GONE {failure:?} {port:?}");
    if !matches!(failure, Failure::Pipe(PipeFault::Gone)) || port != Port::Empty {
        return Err(failure);
    }
    disk.wait_port(|port| port == Port::Connected, 30_000_000);
    disk.enumerate()?;
    disk.make_ready()?;
    whole_disk(&mut disk, &PIECES)
}

/// With a disk of a few blocks a second: a read is cancelled, another runs into the time-out; after recovery everything is as before.
pub fn slow() -> Result<(), Failure> {
    let mut disk = Disk::open(Config { bulk_limit: 300_000, ..CONFIG });
    disk.enumerate()?;
    disk.make_ready()?;
    let range = disk.geometry.range(0, SLOT_BLOCKS).ok_or(Failure::Unexpected("capacity"))?;
    // The first ones take what the throttle lets through at once.
    for _ in 0..8 {
        disk.send(&DownCommand::Read(range))?;
        disk.host.start_in(Into::Slot(Slot::A), SLOT_BYTES, disk.clock.now());
        match disk.finish() {
            Ok(moved) => {
                disk.status(moved)?;
            }
            Err(fault) => {
                say!("FAULT {fault:?}");
                disk.recover()?;
                break;
            }
        }
    }
    cancelled(&mut disk)?;
    let mut digest = Sha256::new();
    let mut lba = 0;
    while lba < 64 {
        match disk.read(lba, 2, Slot::B) {
            Ok(ended) => {
                good(ended)?;
                digest.update(disk.host.data(Into::Slot(Slot::B)));
                lba = lba.saturating_add(2);
            }
            Err(Failure::Pipe(PipeFault::TimedOut)) => disk.recover()?,
            Err(failure) => return Err(failure),
        }
    }
    print_digest(lba, digest);
    Ok(())
}

/// Takes a transfer off the bus while the disk is at it.
fn cancelled(disk: &mut Disk) -> Result<(), Failure> {
    let range = disk.geometry.range(0, SLOT_BLOCKS).ok_or(Failure::Unexpected("capacity"))?;
    disk.send(&DownCommand::Read(range))?;
    disk.host.start_in(Into::Slot(Slot::A), SLOT_BYTES, disk.clock.now());
    let until = disk.clock.now().saturating_add(50_000);
    while disk.clock.now() < until {
        if disk.host.poll_transfer(disk.clock.now()).is_some() {
            return Err(Failure::Unexpected("not slow"));
        }
    }
    disk.host.cancel();
    let until = disk.clock.now().saturating_add(50_000);
    while disk.clock.now() < until {
        if disk.host.poll_transfer(disk.clock.now()).is_some() {
            return Err(Failure::Unexpected("an outcome after cancelling"));
        }
    }
    say!("CANCELLED {}", disk.host.data(Into::Slot(Slot::A)).len());
    disk.recover()
}
