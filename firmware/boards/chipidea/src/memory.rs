//! Everything that the controller reads and writes by itself, in one static piece given by the board.
//!
//! Addresses that go to the controller are the bus address of that piece and an offset known at compile time; none
//! comes from the host or the drive (threat B13).

use core::{
    cell::UnsafeCell,
    mem::offset_of,
    ptr::{read_volatile, write_volatile},
};

use wb_bridge::{
    drive::Slot,
    host::{Into, Request},
};
use wb_policy::{cbw::CBW_BYTES, down::CbwOut};

use crate::{
    descriptor::{
        CHUNK_BYTES, Descriptor, END, Endpoint, HEAD_OVERLAY, Progress, TO_QUEUE_HEAD,
        idle_overlay, overlay_toggle, progress,
    },
    hardware::Hardware,
    queue::{QUEUES, Queue},
};

/// Most bytes of an answer to a control request.
pub const CONTROL_BYTES: usize = 1024;
/// Room for a status wrapper and what a device may send besides it in the same packet.
pub const STATUS_BYTES: usize = 512;

/// Descriptors of a bulk-IN transfer: a slot of 128 KiB.
pub const CHAIN: usize = 8;

/// A word that the controller may change at any time.
#[repr(transparent)]
struct Word(UnsafeCell<u32>);

impl Word {
    const fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    fn get(&self) -> u32 {
        // SAFETY: the pointer is valid and aligned; the controller writes whole words.
        unsafe { read_volatile(self.0.get()) }
    }

    fn set(&self, value: u32) {
        // SAFETY: the pointer is valid and aligned, and `Word` is not `Sync`: no other thread has it.
        unsafe { write_volatile(self.0.get(), value) }
    }
}

/// A buffer that the controller may read or write while a transfer is on its schedule. EHCI takes any address, but cores of this family are
/// known to hang on data towards the device that do not begin on a double word (errata of i.MX chips), so all begin on 32 bytes.
#[repr(C, align(32))]
struct Buffer<const N: usize>(UnsafeCell<[u8; N]>);

impl<const N: usize> Buffer<N> {
    const fn new() -> Self {
        Self(UnsafeCell::new([0; N]))
    }

    /// The first `length` bytes.
    ///
    /// # Safety
    /// No transfer into this buffer is on the schedule, and none is put there as long as the slice is used.
    unsafe fn bytes(&self, length: usize) -> &[u8] {
        // SAFETY: the pointer is valid, and by the contract nothing writes there.
        let whole: &[u8; N] = unsafe { &*self.0.get() };
        whole.get(..length).unwrap_or(whole)
    }

    /// Copies bytes to the front; what does not fit is left out.
    ///
    /// # Safety
    /// No transfer from or into this buffer is on the schedule, and no slice of it is in use.
    unsafe fn fill(&self, bytes: &[u8]) {
        // SAFETY: the pointer is valid, and by the contract nothing else reads or writes there.
        let whole: &mut [u8; N] = unsafe { &mut *self.0.get() };
        for (to, from) in whole.iter_mut().zip(bytes) {
            *to = *from;
        }
    }
}

/// Queue head: 48 bytes for the controller, on a boundary that keeps it in one page and one cache line.
#[repr(C, align(64))]
struct QueueHead {
    horizontal: Word,
    characteristics: Word,
    capabilities: Word,
    current: Word,
    next: Word,
    alternate: Word,
    token: Word,
    pages: [Word; 5],
}

impl QueueHead {
    const fn new() -> Self {
        Self {
            horizontal: Word::new(),
            characteristics: Word::new(),
            capabilities: Word::new(),
            current: Word::new(),
            next: Word::new(),
            alternate: Word::new(),
            token: Word::new(),
            pages: [const { Word::new() }; 5],
        }
    }
}

/// Transfer descriptor.
#[repr(C, align(32))]
struct Element {
    next: Word,
    alternate: Word,
    token: Word,
    pages: [Word; 5],
}

impl Element {
    const fn new() -> Self {
        Self {
            next: Word::new(),
            alternate: Word::new(),
            token: Word::new(),
            pages: [const { Word::new() }; 5],
        }
    }

    /// The token last, for it makes the element active.
    fn write(&self, descriptor: Descriptor, next: u32, alternate: u32) {
        self.next.set(next);
        self.alternate.set(alternate);
        for (word, page) in self.pages.iter().zip(descriptor.pages) {
            word.set(page);
        }
        self.token.set(descriptor.token);
    }
}

/// The controller's memory, with two slots of `SLOT` bytes: a multiple of 4096, 128 KiB at most.
///
/// It must lie where no cache stands between processor and controller, and is given once to [`Ehci::new`](crate::Ehci::new).
#[repr(C, align(4096))]
pub struct Memory<const SLOT: usize> {
    slots: [Buffer<SLOT>; 2],
    control: Buffer<CONTROL_BYTES>,
    status: Buffer<STATUS_BYTES>,
    command: Buffer<CBW_BYTES>,
    setup: Buffer<8>,
    head: QueueHead,
    queues: [QueueHead; QUEUES],
    chain: [Element; CHAIN],
    command_element: Element,
    control_elements: [Element; 3],
    stop: Element,
}

impl<const SLOT: usize> Memory<SLOT> {
    const SIZES: () = {
        assert!(SLOT > 0 && SLOT.is_multiple_of(4096), "a slot is a number of pages");
        assert!(SLOT <= CHAIN * 16_384, "a slot is filled by one transfer");
        assert!(CHUNK_BYTES == 16_384);
        assert!(CONTROL_BYTES + STATUS_BYTES <= 4096, "small buffers lie in one page");
        assert!(size_of::<Buffer<SLOT>>() == SLOT, "the second slot begins where the first ends");
    };

    /// Memory of zeros only, so that it takes no room in an image; the driver writes everything before the controller sees it.
    #[must_use]
    pub const fn new() -> Self {
        let () = Self::SIZES;
        Self {
            slots: [const { Buffer::new() }; 2],
            control: Buffer::new(),
            status: Buffer::new(),
            command: Buffer::new(),
            setup: Buffer::new(),
            head: QueueHead::new(),
            queues: [const { QueueHead::new() }; QUEUES],
            chain: [const { Element::new() }; CHAIN],
            command_element: Element::new(),
            control_elements: [const { Element::new() }; 3],
            stop: Element::new(),
        }
    }
}

impl<const SLOT: usize> Default for Memory<SLOT> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a transfer uses besides its queue head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// The buffers of a control transfer.
    Control,
    /// The buffer of a command.
    Command,
    /// A slot or the buffer for status.
    In(Into),
}

/// How a transfer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Under way.
    Active,
    /// At its end.
    Done {
        /// Bytes moved.
        moved: usize,
        /// The queue head still points into the rest of the chain and has to be written anew.
        cut: bool,
    },
    /// Ended by STALL.
    Stalled {
        /// Bytes moved before.
        moved: usize,
    },
    /// Ended by an error.
    Failed {
        /// Bytes moved before.
        moved: usize,
    },
}

/// The memory, its address, and who has it.
pub struct Dma<const SLOT: usize> {
    memory: &'static Memory<SLOT>,
    bus: u32,
    /// The area of a transfer that is, or may still be, on the schedule. Only [`Dma::release`] takes it back.
    lent: Option<Area>,
}

/// Offset of a field, which lies within 2 x 128 KiB and some pages.
macro_rules! at {
    ($($field:tt)+) => {
        const { offset_of!(Memory<SLOT>, $($field)+) }
    };
}

impl<const SLOT: usize> Dma<SLOT> {
    /// Takes the memory, which the controller finds at `bus`.
    pub fn new(memory: &'static mut Memory<SLOT>, bus: u32) -> Self {
        Self { memory, bus, lent: None }
    }

    /// Address on the bus of the byte at an offset.
    fn address(&self, offset: usize) -> u32 {
        self.bus.wrapping_add(u32::try_from(offset).unwrap_or(0))
    }

    fn queue_head(&self, queue: Queue) -> &QueueHead {
        let [control, bulk_in, bulk_out] = &self.memory.queues;
        match queue {
            Queue::Control => control,
            Queue::In => bulk_in,
            Queue::Out => bulk_out,
        }
    }

    fn queue_address(&self, queue: Queue) -> u32 {
        let offset = size_of::<QueueHead>().wrapping_mul(queue.index());
        self.address(at!(queues).wrapping_add(offset))
    }

    /// Writes the head of the list, with nothing else in it; its address, for the controller.
    pub fn clear_list(&mut self) -> u32 {
        let address = self.address(at!(head));
        let head = &self.memory.head;
        head.horizontal.set(address | TO_QUEUE_HEAD);
        head.characteristics.set(Endpoint::HEAD.characteristics);
        head.capabilities.set(Endpoint::HEAD.capabilities);
        head.next.set(END);
        head.alternate.set(END);
        head.token.set(HEAD_OVERLAY);
        self.memory.stop.write(Descriptor::STOP, END, END);
        address
    }

    /// Makes the list that of the queues given. What is added points on before anything points to it; what is taken off goes
    /// on pointing back into the list (EHCI 1.0, 4.8.1 and 4.8.2).
    pub fn link(&mut self, linked: [bool; QUEUES], hardware: &impl Hardware) {
        let mut after = self.address(at!(head)) | TO_QUEUE_HEAD;
        for (queue, linked) in Queue::ALL.into_iter().zip(linked).rev() {
            if linked {
                self.queue_head(queue).horizontal.set(after);
                hardware.barrier();
                after = self.queue_address(queue) | TO_QUEUE_HEAD;
            }
        }
        self.memory.head.horizontal.set(after);
        hardware.barrier();
    }

    /// Writes a queue head that is not in the list, without work.
    pub fn write_queue(&mut self, queue: Queue, endpoint: Endpoint, toggle: bool) {
        let head = self.queue_head(queue);
        head.characteristics.set(endpoint.characteristics);
        head.capabilities.set(endpoint.capabilities);
        head.current.set(0);
        head.next.set(END);
        head.alternate.set(END);
        head.token.set(idle_overlay(toggle));
        for page in &head.pages {
            page.set(0);
        }
    }

    /// Data toggle that a queue has come to.
    pub fn toggle(&self, queue: Queue) -> bool {
        overlay_toggle(self.queue_head(queue).token.get())
    }

    /// Gives a queue without work its first descriptor. One write: before it the controller finds nothing to do.
    pub fn start(&mut self, queue: Queue, first: u32, hardware: &impl Hardware) {
        hardware.barrier();
        self.queue_head(queue).next.set(first);
        hardware.barrier();
    }

    /// Lays out a request; the address of its first descriptor, or `None` if a transfer may still be using the buffers or the
    /// answer has no room.
    pub fn put_control(&mut self, request: &Request) -> Option<u32> {
        let length = request.data_in();
        if self.lent.is_some() || usize::from(length) > CONTROL_BYTES {
            return None;
        }
        let (bytes, setup) = Descriptor::setup(request, self.address(at!(setup)));
        // SAFETY: nothing is lent, so no transfer is on the schedule; `&mut self` excludes slices.
        unsafe { self.memory.setup.fill(&bytes) };
        let [first, data, last] = &self.memory.control_elements;
        let elements = self.address(at!(control_elements));
        if length == 0 {
            last.write(Descriptor::status_in(), END, END);
            first.write(setup, nth(elements, 2), END);
        } else {
            last.write(Descriptor::status_out(), END, END);
            // A short answer goes on with the status stage too.
            let stage = Descriptor::control_in(length, self.address(at!(control)));
            data.write(stage, nth(elements, 2), nth(elements, 2));
            first.write(setup, nth(elements, 1), END);
        }
        self.lent = Some(Area::Control);
        Some(elements)
    }

    /// Lays out a command: the only function that lays out a transfer to a bulk-OUT endpoint.
    pub fn put_command(&mut self, cbw: &CbwOut) -> Option<u32> {
        if self.lent.is_some() {
            return None;
        }
        let (bytes, descriptor) = Descriptor::command(cbw, self.address(at!(command)));
        // SAFETY: nothing is lent, so no transfer is on the schedule; `&mut self` excludes slices.
        unsafe { self.memory.command.fill(&bytes) };
        self.memory.command_element.write(descriptor, END, END);
        self.lent = Some(Area::Command);
        Some(self.address(at!(command_element)))
    }

    /// Lays out a bulk-IN transfer of `length` bytes, which the place has room for.
    pub fn put_in(&mut self, into: Into, length: usize) -> Option<u32> {
        if self.lent.is_some() || length > Self::room(into) {
            return None;
        }
        let elements = self.address(at!(chain));
        let mut rest = u32::try_from(length).ok()?;
        let mut address = self.buffer_address(into);
        for (index, place) in self.memory.chain.iter().enumerate() {
            let bytes = rest.min(CHUNK_BYTES);
            let descriptor = Descriptor::bulk_in(bytes, address);
            rest = rest.saturating_sub(bytes);
            address = address.wrapping_add(bytes);
            if rest == 0 {
                place.write(descriptor, END, END);
                break;
            }
            // A short packet must not let the rest of the chain take what the device sends next.
            let next = nth(elements, index.wrapping_add(1));
            place.write(descriptor, next, self.address(at!(stop)));
        }
        self.lent = Some(Area::In(into));
        Some(elements)
    }

    /// Room of a place.
    pub fn room(into: Into) -> usize {
        match into {
            Into::Slot(_) => SLOT,
            Into::Status => STATUS_BYTES,
        }
    }

    fn buffer_address(&self, into: Into) -> u32 {
        match into {
            Into::Slot(Slot::A) => self.address(at!(slots)),
            Into::Slot(Slot::B) => self.address(at!(slots).wrapping_add(SLOT)),
            Into::Status => self.address(at!(status)),
        }
    }

    /// How the request stands.
    pub fn control_standing(&self, length: u16) -> Standing {
        let [first, data, last] = &self.memory.control_elements;
        let asked = usize::from(length);
        let moved = |left: u32| asked.saturating_sub(usize::try_from(left).unwrap_or(asked));
        match progress(first.token.get()) {
            Progress::Done { .. } => {}
            other => return standing(other, 0),
        }
        let mut brought = 0;
        if asked > 0 {
            match progress(data.token.get()) {
                Progress::Done { left } => brought = moved(left),
                other => return standing(other, 0),
            }
        }
        match progress(last.token.get()) {
            Progress::Done { .. } => Standing::Done { moved: brought, cut: false },
            other => standing(other, brought),
        }
    }

    /// How the command stands.
    pub fn command_standing(&self) -> Standing {
        match progress(self.memory.command_element.token.get()) {
            Progress::Done { left: 0 } => Standing::Done { moved: CBW_BYTES, cut: false },
            // The controller does not end an OUT transfer early.
            Progress::Done { .. } => Standing::Failed { moved: 0 },
            other => standing(other, 0),
        }
    }

    /// How the bulk-IN transfer of `length` bytes stands.
    pub fn in_standing(&self, length: usize) -> Standing {
        let mut rest = u32::try_from(length).unwrap_or(0);
        let mut before: u32 = 0;
        for element in &self.memory.chain {
            let bytes = rest.min(CHUNK_BYTES);
            let moved = |left: u32| {
                let moved = before.saturating_add(bytes.saturating_sub(left));
                usize::try_from(moved).unwrap_or(0)
            };
            rest = rest.saturating_sub(bytes);
            match progress(element.token.get()) {
                Progress::Active => return Standing::Active,
                Progress::Stalled { left } => return Standing::Stalled { moved: moved(left) },
                Progress::Failed { left } => return Standing::Failed { moved: moved(left) },
                Progress::Done { left } if left > 0 || rest == 0 => {
                    return Standing::Done { moved: moved(left), cut: rest > 0 };
                }
                Progress::Done { .. } => before = before.saturating_add(bytes),
            }
        }
        Standing::Failed { moved: 0 }
    }

    /// The transfer is off the schedule and the controller holds nothing of it.
    pub fn release(&mut self) {
        self.lent = None;
    }

    /// What stands at the front of a place; nothing while a transfer into it may be on the schedule.
    pub fn data(&self, from: Into, length: usize) -> &[u8] {
        if self.lent == Some(Area::In(from)) {
            return &[];
        }
        let [a, b] = &self.memory.slots;
        match from {
            // SAFETY: no transfer into this place is lent, and `put_in` needs `&mut self`.
            Into::Slot(Slot::A) => unsafe { a.bytes(length) },
            // SAFETY: as above.
            Into::Slot(Slot::B) => unsafe { b.bytes(length) },
            // SAFETY: as above.
            Into::Status => unsafe { self.memory.status.bytes(length) },
        }
    }

    /// What the last request brought; nothing while one may be on the schedule.
    pub fn control_data(&self, length: usize) -> &[u8] {
        if self.lent == Some(Area::Control) {
            return &[];
        }
        // SAFETY: no control transfer is lent, and `put_control` needs `&mut self`.
        unsafe { self.memory.control.bytes(length) }
    }
}

/// Address of the `index`th of the transfer descriptors that begin at `elements`.
fn nth(elements: u32, index: usize) -> u32 {
    let bytes = size_of::<Element>().wrapping_mul(index);
    elements.wrapping_add(u32::try_from(bytes).unwrap_or(0))
}

/// An end that is not the good one, or none yet.
fn standing(progress: Progress, moved: usize) -> Standing {
    match progress {
        Progress::Active => Standing::Active,
        Progress::Stalled { .. } => Standing::Stalled { moved },
        Progress::Done { .. } | Progress::Failed { .. } => Standing::Failed { moved },
    }
}
