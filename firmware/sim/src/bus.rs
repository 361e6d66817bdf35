//! A USB device controller in memory: the `usb-device` crate on one side, a host on the other.
//!
//! So the class that the product boards use is the one that is tested here, down to the control pipe. One packet fits each endpoint, as in
//! the simplest of controllers; a packet that has not been taken makes the next one wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use usb_device::{
    UsbDirection, UsbError,
    bus::{PollResult, UsbBus},
    endpoint::{EndpointAddress, EndpointType},
};

/// Endpoints in each direction.
const ENDPOINTS: usize = 8;

#[derive(Debug, Default)]
struct Pipe {
    is_used: bool,
    max_packet: u16,
    packet: Option<Vec<u8>>,
    is_halted: bool,
}

#[derive(Debug, Default)]
struct Wires {
    ins: [Pipe; ENDPOINTS],
    outs: [Pipe; ENDPOINTS],
    setup: Option<Vec<u8>>,
    in_complete: u16,
    reset: bool,
    /// The device asked to be enumerated anew.
    reconnect: bool,
}

impl Wires {
    fn pipe(&mut self, address: EndpointAddress) -> Option<&mut Pipe> {
        let pipes =
            if address.direction() == UsbDirection::In { &mut self.ins } else { &mut self.outs };
        pipes.get_mut(address.index()).filter(|pipe| pipe.is_used)
    }
}

/// What became of a packet between host and device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handshake<T> {
    /// It was taken or given.
    Ack(T),
    /// Not now.
    Nak,
    /// The endpoint is halted.
    Stall,
}

/// The bus; both sides hold one.
#[derive(Clone, Debug, Default)]
pub struct MemoryBus(Arc<Mutex<Wires>>);

impl MemoryBus {
    fn wires(&self) -> MutexGuard<'_, Wires> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host resets the bus.
    pub fn host_reset(&self) {
        let mut wires = self.wires();
        wires.reset = true;
        wires.setup = None;
    }

    /// The host begins a control transfer; whatever endpoint 0 had to say is gone, and a halt of it too.
    pub fn host_setup(&self, setup: [u8; 8]) {
        let mut wires = self.wires();
        let [own_in, ..] = &mut wires.ins;
        (own_in.packet, own_in.is_halted) = (None, false);
        let [own_out, ..] = &mut wires.outs;
        (own_out.packet, own_out.is_halted) = (None, false);
        wires.setup = Some(setup.to_vec());
    }

    /// The host asks an endpoint for a packet.
    pub fn host_in(&self, endpoint: u8) -> Handshake<Vec<u8>> {
        let mut wires = self.wires();
        let index = usize::from(endpoint);
        let Some(pipe) = wires.ins.get_mut(index) else { return Handshake::Stall };
        if pipe.is_halted {
            return Handshake::Stall;
        }
        let Some(packet) = pipe.packet.take() else { return Handshake::Nak };
        wires.in_complete |= 1_u16.checked_shl(u32::from(endpoint)).unwrap_or(0);
        Handshake::Ack(packet)
    }

    /// The host sends a packet to an endpoint.
    pub fn host_out(&self, endpoint: u8, packet: &[u8]) -> Handshake<()> {
        let mut wires = self.wires();
        let Some(pipe) = wires.outs.get_mut(usize::from(endpoint)) else { return Handshake::Stall };
        if pipe.is_halted {
            return Handshake::Stall;
        }
        if pipe.packet.is_some() {
            return Handshake::Nak;
        }
        pipe.packet = Some(packet.to_vec());
        Handshake::Ack(())
    }

    /// Whether the device asked to be enumerated anew since the last call.
    pub fn take_reconnect(&self) -> bool {
        std::mem::take(&mut self.wires().reconnect)
    }
}

impl UsbBus for MemoryBus {
    fn alloc_ep(
        &mut self,
        direction: UsbDirection,
        address: Option<EndpointAddress>,
        _kind: EndpointType,
        max_packet: u16,
        _interval: u8,
    ) -> usb_device::Result<EndpointAddress> {
        let mut wires = self.wires();
        let pipes = match direction {
            UsbDirection::In => &mut wires.ins,
            UsbDirection::Out => &mut wires.outs,
        };
        let first = address.map_or(1, |address| address.index());
        let (index, pipe) = pipes
            .iter_mut()
            .enumerate()
            .skip(first)
            .find(|(_, pipe)| !pipe.is_used)
            .ok_or(UsbError::EndpointOverflow)?;
        *pipe = Pipe { is_used: true, max_packet, ..Pipe::default() };
        Ok(EndpointAddress::from_parts(index, direction))
    }

    fn enable(&mut self) {}

    fn reset(&self) {
        let mut wires = self.wires();
        let Wires { ins, outs, in_complete, .. } = &mut *wires;
        for pipe in ins.iter_mut().chain(outs) {
            pipe.packet = None;
            pipe.is_halted = false;
        }
        *in_complete = 0;
    }

    fn set_device_address(&self, _address: u8) {}

    fn write(&self, address: EndpointAddress, packet: &[u8]) -> usb_device::Result<usize> {
        let mut wires = self.wires();
        let pipe = wires.pipe(address).ok_or(UsbError::InvalidEndpoint)?;
        if pipe.packet.is_some() {
            return Err(UsbError::WouldBlock);
        }
        if packet.len() > usize::from(pipe.max_packet) {
            return Err(UsbError::BufferOverflow);
        }
        pipe.packet = Some(packet.to_vec());
        Ok(packet.len())
    }

    fn read(&self, address: EndpointAddress, buffer: &mut [u8]) -> usb_device::Result<usize> {
        let mut wires = self.wires();
        let setup = if address.index() == 0 { wires.setup.take() } else { None };
        let packet = match setup {
            Some(setup) => setup,
            None => {
                let pipe = wires.pipe(address).ok_or(UsbError::InvalidEndpoint)?;
                pipe.packet.take().ok_or(UsbError::WouldBlock)?
            }
        };
        let room = buffer.get_mut(..packet.len()).ok_or(UsbError::BufferOverflow)?;
        room.copy_from_slice(&packet);
        Ok(packet.len())
    }

    /// Clearing a halt drops what is queued, as the boards' controllers do.
    fn set_stalled(&self, address: EndpointAddress, is_halted: bool) {
        let mut wires = self.wires();
        let Some(pipe) = wires.pipe(address) else { return };
        pipe.is_halted = is_halted;
        let is_dropped = !is_halted && address.index() != 0 && pipe.packet.take().is_some();
        if is_dropped && address.direction() == UsbDirection::In {
            let bit = u32::try_from(address.index()).unwrap_or(0);
            wires.in_complete |= 1_u16.checked_shl(bit).unwrap_or(0);
        }
    }

    fn is_stalled(&self, address: EndpointAddress) -> bool {
        self.wires().pipe(address).is_some_and(|pipe| pipe.is_halted)
    }

    fn suspend(&self) {}

    fn resume(&self) {}

    fn poll(&self) -> PollResult {
        let mut wires = self.wires();
        if std::mem::take(&mut wires.reset) {
            return PollResult::Reset;
        }
        let ep_in_complete = std::mem::take(&mut wires.in_complete);
        let ep_setup = u16::from(wires.setup.is_some());
        let ep_out = wires.outs.iter().enumerate().fold(0_u16, |bits, (index, pipe)| {
            let bit = if pipe.packet.is_some() { 1_u16 } else { 0 };
            bits | bit.checked_shl(u32::try_from(index).unwrap_or(0)).unwrap_or(0)
        });
        if ep_in_complete | ep_setup | ep_out == 0 {
            return PollResult::None;
        }
        PollResult::Data { ep_out, ep_in_complete, ep_setup }
    }

    fn force_reset(&self) -> usb_device::Result<()> {
        self.wires().reconnect = true;
        Ok(())
    }
}
