//! A disk on the host driver, one blocking step after the other: enough of bulk-only transport to try the driver.

use chipidea::{Config, Ehci};
use imx6ul_qemu::{
    clock::Clock,
    drive_port::{DrivePort, SLOT_BYTES, open},
    say,
};
use wb_bridge::{
    Micros,
    drive::Slot,
    host::{Endpoints, HostController, Into, PipeFault, Port, Request, Speed},
};
use wb_policy::{
    down::{CbwOut, DownCommand},
    geometry::Geometry,
};

/// Longer than every time-out of the driver: reached only if the driver keeps silent.
const SILENCE: Micros = 90_000_000;

const ADDRESS: u8 = 1;
const PACKET: u8 = 64;

/// What went wrong.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "the fields are printed")]
pub enum Failure {
    Pipe(PipeFault),
    Port(Port),
    Descriptor,
    Wrapper,
    Refused,
    Command(u8),
    Unexpected(&'static str),
}

impl From<PipeFault> for Failure {
    fn from(fault: PipeFault) -> Self {
        Self::Pipe(fault)
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub moved: usize,
    pub status: u8,
    pub residue: u32,
}

/// The disk, its driver, and the time.
pub struct Disk {
    pub host: Ehci<DrivePort, SLOT_BYTES>,
    pub clock: Clock,
    pub geometry: Geometry,
    bulk_in: u8,
    bulk_out: u8,
    tag: u32,
}

impl Disk {
    /// The driver, with nothing known of what is attached.
    pub fn open(config: Config) -> Self {
        let clock = Clock::new();
        Self {
            host: open(config, clock.now()),
            clock,
            geometry: Geometry { blocks: 0, block_bytes: 512 },
            bulk_in: 0,
            bulk_out: 0,
            tag: 0,
        }
    }

    /// Polls the port until it stands as wanted, or the time is up; how it stands then.
    pub fn wait_port(&mut self, wanted: fn(Port) -> bool, time: Micros) -> Port {
        let until = self.clock.now().saturating_add(time);
        loop {
            let now = self.clock.now();
            let port = self.host.poll_port(now);
            if wanted(port) || now >= until {
                return port;
            }
        }
    }

    /// Waits for the end of the transfer in progress.
    pub fn finish(&mut self) -> Result<usize, PipeFault> {
        let until = self.clock.now().saturating_add(SILENCE);
        loop {
            let now = self.clock.now();
            if let Some(outcome) = self.host.poll_transfer(now) {
                return outcome;
            }
            assert!(now < until, "the driver says nothing");
        }
    }

    pub fn control(&mut self, request: &Request) -> Result<usize, PipeFault> {
        self.control_to(ADDRESS, request)
    }

    fn control_to(&mut self, address: u8, request: &Request) -> Result<usize, PipeFault> {
        self.host.start_control(address, PACKET, request, self.clock.now());
        self.finish()
    }

    /// Resets the port and brings the device to where it takes commands.
    pub fn enumerate(&mut self) -> Result<(), Failure> {
        let port = self.wait_port(|port| port == Port::Connected, 5_000_000);
        if port != Port::Connected {
            return Err(Failure::Port(port));
        }
        let begun = self.clock.now();
        self.host.reset_port(begun);
        let port = self.wait_port(|port| !matches!(port, Port::Resetting), 1_000_000);
        if port != Port::Enabled(Speed::High) {
            return Err(Failure::Port(port));
        }
        say!("RESET {}", self.clock.now().saturating_sub(begun));
        let length = self.control_to(0, &Request::DeviceDescriptor { length: 18 })?;
        say!("DEVICE {length} {:02x?}", self.host.control_data());
        self.control_to(0, &Request::SetAddress(ADDRESS))?;
        self.control(&Request::ConfigurationDescriptor { length: 255 })?;
        say!("CONFIGURATION {:02x?}", self.host.control_data());
        self.find_endpoints()?;
        self.control(&Request::SetConfiguration(1))?;
        self.use_endpoints();
        self.control(&Request::GetMaxLun { interface: 0 })?;
        say!("MAX-LUN {:02x?}", self.host.control_data());
        Ok(())
    }

    fn find_endpoints(&mut self) -> Result<(), Failure> {
        let mut rest = self.host.control_data();
        while let Some((&length, _)) = rest.split_first() {
            let (one, after) =
                rest.split_at_checked(usize::from(length.max(2))).ok_or(Failure::Descriptor)?;
            if let [7, 5, address, 2, ..] = one {
                if address & 0x80 == 0 {
                    self.bulk_out = *address;
                } else {
                    self.bulk_in = address & 0x0F;
                }
            }
            rest = after;
        }
        if self.bulk_in == 0 || self.bulk_out == 0 { Err(Failure::Descriptor) } else { Ok(()) }
    }

    fn use_endpoints(&mut self) {
        self.host.set_endpoints(Endpoints {
            address: ADDRESS,
            bulk_in: self.bulk_in,
            bulk_out: self.bulk_out,
            max_packet_in: 512,
            max_packet_out: 512,
        });
    }

    /// Sends a command and does not wait for what follows.
    pub fn send(&mut self, command: &DownCommand) -> Result<usize, Failure> {
        self.tag = self.tag.wrapping_add(1);
        let cbw =
            CbwOut::new(self.tag, 0, command, self.geometry.block_bytes).ok_or(Failure::Refused)?;
        self.host.start_cbw(&cbw, self.clock.now());
        self.finish()?;
        usize::try_from(cbw.data_in()).map_err(|_| Failure::Refused)
    }

    /// A command with its data and status.
    pub fn command(&mut self, command: &DownCommand, slot: Slot) -> Result<Ended, Failure> {
        let length = self.send(command)?;
        let mut moved = 0;
        if length > 0 {
            self.host.start_in(Into::Slot(slot), length, self.clock.now());
            moved = self.finish()?;
        }
        self.status(moved)
    }

    /// The status that follows the data.
    pub fn status(&mut self, moved: usize) -> Result<Ended, Failure> {
        self.host.start_in(Into::Status, 64, self.clock.now());
        let length = self.finish()?;
        let bytes = self.host.data(Into::Status);
        let (Some(&[b'U', b'S', b'B', b'S', t0, t1, t2, t3, r0, r1, r2, r3, status]), 13) =
            (bytes.first_chunk::<13>(), length)
        else {
            return Err(Failure::Wrapper);
        };
        if u32::from_le_bytes([t0, t1, t2, t3]) != self.tag {
            return Err(Failure::Wrapper);
        }
        Ok(Ended { moved, status, residue: u32::from_le_bytes([r0, r1, r2, r3]) })
    }

    /// Bulk-only reset recovery (Bulk-Only Transport, 5.3.4).
    pub fn recover(&mut self) -> Result<(), Failure> {
        self.control(&Request::BulkOnlyReset { interface: 0 })?;
        for endpoint in [self.bulk_in | 0x80, self.bulk_out] {
            self.control(&Request::ClearHalt { endpoint })?;
            self.host.clear_toggle(endpoint);
        }
        Ok(())
    }

    /// Unit attentions over, capacity known.
    pub fn make_ready(&mut self) -> Result<(), Failure> {
        for _ in 0..4 {
            let ended = self.command(&DownCommand::TestUnitReady, Slot::A)?;
            if ended.status == 0 {
                return self.read_capacity();
            }
            self.command(&DownCommand::RequestSense, Slot::A)?;
            say!("SENSE {:02x?}", self.host.data(Into::Slot(Slot::A)));
        }
        Err(Failure::Unexpected("not ready"))
    }

    fn read_capacity(&mut self) -> Result<(), Failure> {
        let ended = self.command(&DownCommand::ReadCapacity10, Slot::B)?;
        let data = self.host.data(Into::Slot(Slot::B));
        let Some(&[l0, l1, l2, l3, b0, b1, b2, b3]) = data.first_chunk::<8>() else {
            return Err(Failure::Command(ended.status));
        };
        self.geometry = Geometry {
            blocks: u64::from(u32::from_be_bytes([l0, l1, l2, l3])).saturating_add(1),
            block_bytes: u32::from_be_bytes([b0, b1, b2, b3]),
        };
        say!("CAPACITY {} {}", self.geometry.blocks, self.geometry.block_bytes);
        Ok(())
    }

    /// Reads blocks into a slot.
    pub fn read(&mut self, lba: u64, blocks: u32, slot: Slot) -> Result<Ended, Failure> {
        let range =
            self.geometry.range(lba, blocks).ok_or(Failure::Unexpected("beyond the end"))?;
        let ended = self.command(&DownCommand::Read(range), slot)?;
        let wanted = blocks.saturating_mul(self.geometry.block_bytes);
        if ended.status == 0 && usize::try_from(wanted) != Ok(ended.moved) {
            return Err(Failure::Unexpected("short data with success"));
        }
        Ok(ended)
    }
}
