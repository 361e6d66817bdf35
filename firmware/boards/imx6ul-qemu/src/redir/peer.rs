//! The protocol's device end: what the host asks for, what of it is under way, and the answers.

use heapless::Deque;
use wb_bridge::Micros;

use super::{
    Wire,
    control::{Control, Origin},
    layout::{Layout, control_echo},
    packet::{Agreed, HELLO_BYTES, capability, field, kind, status},
    parser::{Event, Packet, Parser},
    pipes::{Handshake, PACKET_BYTES, Pipes},
    ring::Ring,
};

/// Control transfers that wait for the one in progress.
const CONTROLS: usize = 4;
/// Bulk transfers under way in each direction.
const TRANSFERS: usize = 64;
/// Bytes taken from the line in one go.
const BYTES_A_TURN: usize = 4096;
/// Times that the line is asked again in the middle of a packet: its other end hands out one byte at a time.
const PATIENCE: usize = 256;
/// How long the device stays away when it wants to be looked at anew.
const AWAY: Micros = 500_000;

/// Memory for data under way.
pub struct Rooms {
    /// A transfer from the first bulk-IN endpoint: the largest that the host may ask for.
    pub first_in: &'static mut [u8],
    /// A transfer from the second one.
    pub second_in: &'static mut [u8],
    /// Data for the bulk-OUT endpoint.
    pub out: &'static mut [u8],
}

/// A bulk transfer.
#[derive(Clone, Copy, Debug)]
struct Transfer {
    id: u64,
    /// Address with the direction bit.
    endpoint: u8,
    stream: [u8; 4],
    length: usize,
    done: usize,
    /// OUT: answered already; what is left of its data is thrown away.
    is_answered: bool,
}

/// Where data of the packet in progress go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    Nowhere,
    Out,
    Control { left: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// Nobody has said hello.
    Silent,
    /// The peer reads the descriptors.
    Looking,
    /// The host knows the device.
    Connected,
    /// The device plays unplugged.
    Away { until: Micros },
}

/// The peer.
pub struct Peer<W: Wire> {
    wire: W,
    parser: Parser,
    agreed: Agreed,
    link: Link,
    /// Hellos that we sent and that were not answered.
    greetings: u8,
    /// The device's endpoints.
    pub pipes: Pipes,
    layout: Layout,
    sink: Sink,
    incoming: Option<Control>,
    control: Option<Control>,
    controls: Deque<Control, CONTROLS>,
    ins: Deque<Transfer, TRANSFERS>,
    outs: Deque<Transfer, TRANSFERS>,
    first_in: &'static mut [u8],
    second_in: &'static mut [u8],
    out: Ring,
}

impl<W: Wire> Peer<W> {
    /// A peer on a line, that has not said hello.
    pub fn new(wire: W, rooms: Rooms) -> Self {
        Self {
            wire,
            parser: Parser::new(),
            agreed: Agreed::default(),
            link: Link::Silent,
            greetings: 0,
            pipes: Pipes::new(),
            layout: Layout::default(),
            sink: Sink::Nowhere,
            incoming: None,
            control: None,
            controls: Deque::new(),
            ins: Deque::new(),
            outs: Deque::new(),
            first_in: rooms.first_in,
            second_in: rooms.second_in,
            out: Ring::new(rooms.out),
        }
    }

    /// The line.
    pub fn wire(&mut self) -> &mut W {
        &mut self.wire
    }

    /// The device is there: says hello.
    pub fn connect(&mut self) {
        let mut hello = [0; HELLO_BYTES];
        let name = b"daleel imx6ul-qemu";
        let fields = name.iter().copied().chain([0; 64]).take(64);
        for (to, from) in hello.iter_mut().zip(fields.chain(capability::OURS.to_le_bytes())) {
            *to = from;
        }
        self.greetings = self.greetings.saturating_add(1);
        self.send(kind::HELLO, 0, &hello, &[]);
    }

    /// The device goes away and comes back, so that the host looks at it anew.
    pub fn reconnect(&mut self) {
        if self.link == Link::Connected {
            self.send(kind::DEVICE_DISCONNECT, 0, &[], &[]);
        }
        if self.link != Link::Silent {
            self.forget();
            self.link = Link::Away { until: self.wire.now().saturating_add(AWAY) };
        }
    }

    /// Takes what has come, and moves every transfer on.
    pub fn advance(&mut self) {
        self.receive();
        if let Link::Away { until } = self.link
            && self.wire.now() >= until
        {
            self.look();
        }
        if self.pipes.is_resetting() {
            return;
        }
        self.advance_control();
        self.advance_in(1);
        self.advance_in(2);
        self.advance_out();
    }

    fn send(&mut self, kind: u32, id: u64, fixed: &[u8], data: &[u8]) {
        let length = fixed.len().saturating_add(data.len());
        let (header, used) = self.agreed.header(kind, length, id);
        self.wire.send(header.get(..used).unwrap_or_default());
        self.wire.send(fixed);
        self.wire.send(data);
    }

    fn receive(&mut self) {
        for _ in 0..BYTES_A_TURN {
            if self.sink == Sink::Out && self.out.is_full() {
                return;
            }
            let tries = if self.parser.is_inside() { PATIENCE } else { 1 };
            let Some(byte) = (0..tries).find_map(|_| self.wire.receive()) else { return };
            match self.parser.feed(byte, self.agreed) {
                Some(Event::Packet(packet)) => self.packet(&packet),
                Some(Event::Data(byte)) => self.data(byte),
                None => {}
            }
        }
    }

    fn data(&mut self, byte: u8) {
        match self.sink {
            Sink::Nowhere => {}
            // There is room: it was looked for before the byte was taken.
            Sink::Out => self.out.push(byte),
            Sink::Control { left } => {
                if let Some(control) = &mut self.incoming {
                    control.push(byte);
                }
                let left = left.saturating_sub(1);
                self.sink = Sink::Control { left };
                if left == 0 {
                    self.begin_incoming();
                }
            }
        }
    }

    fn packet(&mut self, packet: &Packet) {
        self.sink = Sink::Nowhere;
        let [first, second] = field(&packet.fixed, 0);
        let id = packet.id;
        match packet.kind {
            kind::HELLO => self.hello(u32::from_le_bytes(field(&packet.fixed, 64))),
            // Before the hello nothing else counts.
            _ if self.link == Link::Silent => {}
            kind::RESET if self.link == Link::Connected => {
                self.drop_transfers();
                self.pipes.host_reset();
            }
            kind::SET_CONFIGURATION => {
                let origin = Origin::SetConfiguration { id, value: first };
                self.begin(Control::new(origin, [0x00, 9, first, 0, 0, 0, 0, 0]));
            }
            kind::GET_CONFIGURATION => {
                let origin = Origin::GetConfiguration { id };
                self.begin(Control::new(origin, [0x80, 8, 0, 0, 0, 0, 1, 0]));
            }
            kind::SET_ALT_SETTING => {
                let origin = Origin::SetAlternate { id, interface: first, setting: second };
                self.begin(Control::new(origin, [0x01, 11, second, 0, first, 0, 0, 0]));
            }
            kind::GET_ALT_SETTING => {
                // No interface of the bridge has another one.
                self.send(kind::ALT_SETTING_STATUS, id, &[status::SUCCESS, first, 0], &[]);
            }
            kind::CANCEL_DATA_PACKET => self.cancel(id),
            kind::CONTROL_PACKET => self.control_packet(packet),
            kind::BULK_PACKET => self.bulk_packet(packet),
            _ => {}
        }
    }

    fn hello(&mut self, theirs: u32) {
        if self.greetings == 0 {
            // The other end was started anew.
            self.agreed = Agreed::default();
            self.connect();
        }
        self.greetings = 0;
        self.agreed = Agreed::with(theirs);
        self.look();
    }

    /// Forgets everything under way, and data that are still to come.
    fn forget(&mut self) {
        self.drop_transfers();
        self.sink = Sink::Nowhere;
        self.outs.clear();
        self.out.clear();
    }

    fn drop_transfers(&mut self) {
        self.control = None;
        self.incoming = None;
        self.controls.clear();
        self.ins.clear();
        for out in &mut self.outs {
            out.is_answered = true;
        }
    }

    /// Reads the descriptors, to be able to tell the host of them.
    fn look(&mut self) {
        self.forget();
        self.pipes.host_reset();
        self.link = Link::Looking;
        self.begin(Control::new(Origin::Device, [0x80, 6, 0, 1, 0, 0, 18, 0]));
    }

    fn control_packet(&mut self, packet: &Packet) {
        let echo: [u8; 10] = field(&packet.fixed, 0);
        let [_, request, request_type, _, v0, v1, i0, i1, l0, l1] = echo;
        let setup = [request_type, request, v0, v1, i0, i1, l0, l1];
        self.incoming = Some(Control::new(Origin::Host { id: packet.id, echo }, setup));
        if packet.data == 0 {
            self.begin_incoming();
        } else {
            self.sink = Sink::Control { left: packet.data };
        }
    }

    fn begin_incoming(&mut self) {
        self.sink = Sink::Nowhere;
        match self.incoming.take() {
            Some(control) if control.is_whole() => self.begin(control),
            Some(control) => self.end_control(&control, false),
            None => {}
        }
    }

    fn begin(&mut self, control: Control) {
        if let Err(control) = self.controls.push_back(control) {
            self.end_control(&control, false);
        }
    }

    fn advance_control(&mut self) {
        if self.control.is_none() {
            self.control = self.controls.pop_front();
        }
        let ended = self.control.as_mut().and_then(|control| control.advance(&mut self.pipes));
        if let Some(succeeded) = ended
            && let Some(control) = self.control.take()
        {
            self.end_control(&control, succeeded);
        }
    }

    fn end_control(&mut self, control: &Control, succeeded: bool) {
        let result = if succeeded { status::SUCCESS } else { status::STALL };
        match control.origin {
            Origin::Host { id, echo } => {
                let moved = if succeeded { control.moved() } else { 0 };
                let data = if succeeded { control.answer() } else { &[] };
                let fixed = control_echo(echo, result, moved);
                self.send(kind::CONTROL_PACKET, id, &fixed, data);
            }
            Origin::SetConfiguration { id, value } => {
                self.send(kind::CONFIGURATION_STATUS, id, &[result, value], &[]);
            }
            Origin::GetConfiguration { id } => {
                let value = control.answer().first().copied().unwrap_or(0);
                self.send(kind::CONFIGURATION_STATUS, id, &[result, value], &[]);
            }
            Origin::SetAlternate { id, interface, setting } => {
                let fixed = [result, interface, setting];
                self.send(kind::ALT_SETTING_STATUS, id, &fixed, &[]);
            }
            Origin::Device => {
                self.layout.device(control.answer());
                self.begin(Control::new(Origin::Configuration, [0x80, 6, 0, 2, 0, 0, 0, 2]));
            }
            Origin::Configuration => self.announce(control.answer()),
        }
    }

    /// Tells the host of the device: interfaces and endpoints first.
    fn announce(&mut self, configuration: &[u8]) {
        self.layout.configuration(configuration);
        let interfaces = self.layout.interface_info();
        self.send(kind::INTERFACE_INFO, 0, &interfaces, &[]);
        let (endpoints, used) =
            self.layout.ep_info(self.agreed.has(capability::EP_INFO_MAX_PACKET_SIZE));
        self.send(kind::EP_INFO, 0, endpoints.get(..used).unwrap_or_default(), &[]);
        let (connect, used) =
            self.layout.device_connect(self.agreed.has(capability::CONNECT_DEVICE_VERSION));
        self.send(kind::DEVICE_CONNECT, 0, connect.get(..used).unwrap_or_default(), &[]);
        self.link = Link::Connected;
    }

    fn bulk_packet(&mut self, packet: &Packet) {
        let [endpoint, _, l0, l1, s0, s1, s2, s3, h0, h1] = field(&packet.fixed, 0);
        let has_long = self.agreed.has(capability::BULK_LENGTH_32_BITS);
        let [h0, h1] = if has_long { [h0, h1] } else { [0, 0] };
        let is_in = endpoint & 0x80 != 0;
        let length = if is_in { u32::from_le_bytes([l0, l1, h0, h1]) } else { packet.data };
        let transfer = Transfer {
            id: packet.id,
            endpoint,
            stream: [s0, s1, s2, s3],
            length: usize::try_from(length).unwrap_or(usize::MAX),
            done: 0,
            is_answered: false,
        };
        let (room, queue) = if is_in {
            (self.in_room(endpoint & 0x0F), &mut self.ins)
        } else {
            (if endpoint == 1 { self.out.capacity() } else { 0 }, &mut self.outs)
        };
        if transfer.length > room || room == 0 || queue.push_back(transfer).is_err() {
            self.answer_bulk(&transfer, status::INVALID);
        } else if !is_in {
            self.sink = Sink::Out;
        }
    }

    fn in_room(&self, endpoint: u8) -> usize {
        match endpoint {
            1 => self.first_in.len(),
            2 => self.second_in.len(),
            _ => 0,
        }
    }

    fn cancel(&mut self, id: u64) {
        if let Some(out) = self.outs.iter_mut().find(|out| out.id == id && !out.is_answered) {
            out.is_answered = true;
            let transfer = *out;
            self.answer_bulk(&transfer, status::CANCELLED);
        }
        if let Some(transfer) = self.remove_in(id) {
            self.answer_bulk(&transfer, status::CANCELLED);
        }
        self.cancel_control(id);
    }

    fn remove_in(&mut self, id: u64) -> Option<Transfer> {
        let mut removed = None;
        for _ in 0..self.ins.len() {
            if let Some(transfer) = self.ins.pop_front() {
                if transfer.id == id {
                    removed = Some(transfer);
                } else {
                    // There is room: one was taken out.
                    let _ = self.ins.push_back(transfer);
                }
            }
        }
        removed
    }

    fn cancel_control(&mut self, id: u64) {
        let is_it = |control: &Control| control.origin.id() == Some(id);
        let mut cancelled = self.control.take_if(|control| is_it(control));
        for _ in 0..self.controls.len() {
            if let Some(control) = self.controls.pop_front() {
                if is_it(&control) {
                    cancelled = Some(control);
                } else {
                    // There is room: one was taken out.
                    let _ = self.controls.push_back(control);
                }
            }
        }
        if let Some(Control { origin: Origin::Host { id, echo }, .. }) = cancelled {
            let fixed = control_echo(echo, status::CANCELLED, 0);
            self.send(kind::CONTROL_PACKET, id, &fixed, &[]);
        }
    }

    /// Ends a bulk transfer; an IN transfer with the bytes that have come.
    fn answer_bulk(&mut self, transfer: &Transfer, result: u8) {
        let done = if result == status::INVALID { 0 } else { transfer.done };
        let [l0, l1, h0, h1] = u32::try_from(done).unwrap_or(0).to_le_bytes();
        let [s0, s1, s2, s3] = transfer.stream;
        let fixed = [transfer.endpoint, result, l0, l1, s0, s1, s2, s3, h0, h1];
        let fixed = fixed.get(..self.agreed.bulk_bytes()).unwrap_or_default();
        let data: &[u8] = match transfer.endpoint {
            0x81 => self.first_in.get(..done).unwrap_or_default(),
            0x82 => self.second_in.get(..done).unwrap_or_default(),
            _ => &[],
        };
        let length = fixed.len().saturating_add(data.len());
        let (header, used) = self.agreed.header(kind::BULK_PACKET, length, transfer.id);
        self.wire.send(header.get(..used).unwrap_or_default());
        self.wire.send(fixed);
        self.wire.send(data);
    }

    /// Takes a packet for the oldest transfer of an IN endpoint.
    fn advance_in(&mut self, endpoint: u8) {
        let own = |transfer: &&mut Transfer| transfer.endpoint == endpoint | 0x80;
        let Some(transfer) = self.ins.iter_mut().find(own) else { return };
        let place: &mut [u8] = if endpoint == 1 { self.first_in } else { self.second_in };
        let room = place.get_mut(transfer.done..transfer.length).unwrap_or_default();
        let space = room.len();
        let result = match self.pipes.host_in(endpoint, room) {
            Handshake::Nak => return,
            Handshake::Stall => status::STALL,
            Handshake::Ack(length) => {
                transfer.done = transfer.done.saturating_add(length.min(space));
                if length > space {
                    status::BABBLE
                } else if length < self.pipes.in_packet(endpoint)
                    || transfer.done >= transfer.length
                {
                    status::SUCCESS
                } else {
                    return;
                }
            }
        };
        let transfer = *transfer;
        self.remove_in(transfer.id);
        self.answer_bulk(&transfer, result);
    }

    /// Gives the oldest OUT transfer's next packet to the device.
    fn advance_out(&mut self) {
        let Some(transfer) = self.outs.front_mut() else { return };
        let left = transfer.length.saturating_sub(transfer.done);
        if transfer.is_answered {
            transfer.done = transfer.done.saturating_add(self.out.skip(left));
            if transfer.done >= transfer.length {
                self.outs.pop_front();
            }
            return;
        }
        let result = match self.pipes.host_room(transfer.endpoint) {
            Handshake::Nak => return,
            Handshake::Stall => status::STALL,
            Handshake::Ack(size) => {
                let wanted = left.min(size);
                if self.out.len() < wanted {
                    return;
                }
                let mut packet = [0; PACKET_BYTES];
                let packet = packet.get_mut(..wanted).unwrap_or_default();
                self.out.take(packet);
                self.pipes.host_out(transfer.endpoint, packet);
                transfer.done = transfer.done.saturating_add(wanted);
                if transfer.done < transfer.length {
                    return;
                }
                status::SUCCESS
            }
        };
        transfer.is_answered = true;
        let transfer = *transfer;
        self.answer_bulk(&transfer, result);
    }
}
