//! The device's endpoints: room for one packet each, as in the simplest of controllers.

use usb_device::{UsbDirection, UsbError, bus::PollResult, endpoint::EndpointAddress};

/// Endpoints in each direction, endpoint 0 among them.
pub const ENDPOINTS: usize = 4;
/// Largest packet: bulk at high speed.
pub const PACKET_BYTES: usize = 512;

/// One endpoint.
#[derive(Debug)]
struct Pipe {
    is_used: bool,
    max_packet: usize,
    bytes: [u8; PACKET_BYTES],
    /// Length of the packet that waits.
    length: Option<usize>,
    is_halted: bool,
}

impl Pipe {
    const fn new() -> Self {
        let bytes = [0; PACKET_BYTES];
        Self { is_used: false, max_packet: 0, bytes, length: None, is_halted: false }
    }

    fn put(&mut self, packet: &[u8]) -> usb_device::Result<usize> {
        if self.length.is_some() {
            return Err(UsbError::WouldBlock);
        }
        if packet.len() > self.max_packet {
            return Err(UsbError::BufferOverflow);
        }
        let room = self.bytes.get_mut(..packet.len()).ok_or(UsbError::BufferOverflow)?;
        room.copy_from_slice(packet);
        self.length = Some(packet.len());
        Ok(packet.len())
    }

    fn take(&mut self) -> Option<&[u8]> {
        let length = self.length.take()?;
        self.bytes.get(..length)
    }
}

/// What the host got to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake<T> {
    /// Done.
    Ack(T),
    /// Not now.
    Nak,
    /// The endpoint is halted, or there is none.
    Stall,
}

/// All endpoints, and what the device has to be told.
#[derive(Debug)]
pub struct Pipes {
    ins: [Pipe; ENDPOINTS],
    outs: [Pipe; ENDPOINTS],
    setup: Option<[u8; 8]>,
    in_complete: u16,
    reset: bool,
}

impl Pipes {
    /// No endpoint is in use.
    pub fn new() -> Self {
        Self {
            ins: [const { Pipe::new() }; ENDPOINTS],
            outs: [const { Pipe::new() }; ENDPOINTS],
            setup: None,
            in_complete: 0,
            reset: false,
        }
    }

    fn pipe(&mut self, address: EndpointAddress) -> Option<&mut Pipe> {
        let pipes = match address.direction() {
            UsbDirection::In => &mut self.ins,
            UsbDirection::Out => &mut self.outs,
        };
        pipes.get_mut(address.index()).filter(|pipe| pipe.is_used)
    }

    /// Takes an endpoint into use: the one asked for, or the first free one after endpoint 0.
    pub fn allocate(
        &mut self,
        direction: UsbDirection,
        address: Option<EndpointAddress>,
        max_packet: u16,
    ) -> usb_device::Result<EndpointAddress> {
        let max_packet = usize::from(max_packet);
        if max_packet > PACKET_BYTES {
            return Err(UsbError::Unsupported);
        }
        let pipes = match direction {
            UsbDirection::In => &mut self.ins,
            UsbDirection::Out => &mut self.outs,
        };
        let first = address.map_or(1, |address| address.index());
        let count = if address.is_some() { 1 } else { ENDPOINTS };
        let free = pipes.iter_mut().enumerate().skip(first).take(count);
        let (index, pipe) =
            free.into_iter().find(|(_, pipe)| !pipe.is_used).ok_or(UsbError::EndpointOverflow)?;
        *pipe = Pipe { is_used: true, max_packet, ..Pipe::new() };
        Ok(EndpointAddress::from_parts(index, direction))
    }

    /// After a bus reset: nothing waits, nothing is halted.
    pub fn clear(&mut self) {
        for pipe in self.ins.iter_mut().chain(&mut self.outs) {
            pipe.length = None;
            pipe.is_halted = false;
        }
        self.in_complete = 0;
        self.setup = None;
    }

    /// The device queues a packet.
    pub fn write(&mut self, address: EndpointAddress, packet: &[u8]) -> usb_device::Result<usize> {
        self.pipe(address).ok_or(UsbError::InvalidEndpoint)?.put(packet)
    }

    /// The device takes a packet; on endpoint 0 the setup packet before any other.
    pub fn read(&mut self, address: EndpointAddress, room: &mut [u8]) -> usb_device::Result<usize> {
        let setup = if address.index() == 0 { self.setup.take() } else { None };
        let packet = match &setup {
            Some(setup) => setup.as_slice(),
            None => {
                let pipe = self.pipe(address).ok_or(UsbError::InvalidEndpoint)?;
                pipe.take().ok_or(UsbError::WouldBlock)?
            }
        };
        room.get_mut(..packet.len()).ok_or(UsbError::BufferOverflow)?.copy_from_slice(packet);
        Ok(packet.len())
    }

    /// The device halts an endpoint, or takes that back.
    pub fn set_halted(&mut self, address: EndpointAddress, is_halted: bool) {
        if let Some(pipe) = self.pipe(address) {
            pipe.is_halted = is_halted;
        }
    }

    /// Whether it is halted.
    pub fn is_halted(&mut self, address: EndpointAddress) -> bool {
        self.pipe(address).is_some_and(|pipe| pipe.is_halted)
    }

    /// What has happened since the last call.
    pub fn poll(&mut self) -> PollResult {
        if core::mem::take(&mut self.reset) {
            return PollResult::Reset;
        }
        let ep_in_complete = core::mem::take(&mut self.in_complete);
        let ep_setup = u16::from(self.setup.is_some());
        let ep_out = self
            .outs
            .iter()
            .zip(0..16_u32)
            .filter(|(pipe, _)| pipe.length.is_some())
            .fold(0, |bits, (_, index)| bits | bit(index));
        if ep_in_complete | ep_setup | ep_out == 0 {
            return PollResult::None;
        }
        PollResult::Data { ep_out, ep_in_complete, ep_setup }
    }

    /// The host resets the bus.
    pub fn host_reset(&mut self) {
        self.clear();
        self.reset = true;
    }

    /// Whether the device has yet to be told of a reset; until then the bus is quiet.
    pub fn is_resetting(&self) -> bool {
        self.reset
    }

    /// The host begins a control transfer: whatever endpoint 0 still had is gone, and a halt of it too.
    pub fn host_setup(&mut self, setup: [u8; 8]) {
        let ([own_in, ..], [own_out, ..]) = (&mut self.ins, &mut self.outs);
        for pipe in [own_in, own_out] {
            pipe.length = None;
            pipe.is_halted = false;
        }
        self.setup = Some(setup);
    }

    /// The host asks for a packet and puts it to the front of `room`. What does not fit is lost; the length is that of the packet.
    pub fn host_in(&mut self, endpoint: u8, room: &mut [u8]) -> Handshake<usize> {
        let Some(pipe) = self.ins.get_mut(usize::from(endpoint)).filter(|pipe| pipe.is_used) else {
            return Handshake::Stall;
        };
        let is_halted = pipe.is_halted;
        match pipe.take() {
            Some(packet) => {
                for (to, from) in room.iter_mut().zip(packet) {
                    *to = *from;
                }
                let length = packet.len();
                self.in_complete |= bit(u32::from(endpoint));
                Handshake::Ack(length)
            }
            None if is_halted => Handshake::Stall,
            None => Handshake::Nak,
        }
    }

    /// Whether the host could send a packet now, and of how many bytes at most.
    pub fn host_room(&self, endpoint: u8) -> Handshake<usize> {
        match self.outs.get(usize::from(endpoint)).filter(|pipe| pipe.is_used) {
            Some(pipe) if pipe.is_halted => Handshake::Stall,
            Some(pipe) if pipe.length.is_some() => Handshake::Nak,
            Some(pipe) => Handshake::Ack(pipe.max_packet),
            None => Handshake::Stall,
        }
    }

    /// The host sends a packet, for which there is room.
    pub fn host_out(&mut self, endpoint: u8, packet: &[u8]) {
        if let Some(pipe) = self.outs.get_mut(usize::from(endpoint)) {
            // There is room, as the caller has asked.
            let _ = pipe.put(packet);
        }
    }

    /// Packet size of an IN endpoint.
    pub fn in_packet(&self, endpoint: u8) -> usize {
        self.ins.get(usize::from(endpoint)).map_or(0, |pipe| pipe.max_packet)
    }
}

fn bit(index: u32) -> u16 {
    1_u16.checked_shl(index).unwrap_or(0)
}
