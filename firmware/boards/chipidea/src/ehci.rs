//! The controller: brings itself up, puts one transfer at a time on the schedule, and takes it off again whatever happens.
//!
//! A queue head is changed in two ways only. One that is in the list and has no work is given work by a single write. For
//! everything else (a new address, a toggle, after a STALL, an error, a cut chain, a time-out) it leaves the list, the
//! controller is asked by the doorbell whether it holds anything of it, and only its answer makes the memory the
//! driver's own again (EHCI 1.0, 4.8.2). A controller that does not answer the doorbell, or has stopped by itself, is
//! reset; the port then begins anew.

use wb_bridge::{
    Micros,
    drive::Slot,
    host::{Endpoints, HostController, Into, PipeFault, Port, Request, Speed},
};
use wb_policy::down::CbwOut;

use crate::{
    descriptor::Endpoint,
    hardware::{Config, Hardware},
    memory::{Dma, Memory, Standing},
    port::RootPort,
    queue::{Queue, QueueStates},
    registers::{
        ASYNCLISTADDR, BURSTS_ANY, CMD_ASYNC, CMD_DOORBELL, CMD_RESET, CMD_RUN, CONFIGFLAG,
        MODE_HOST, SBUSCFG, STS_ADVANCED, STS_ASYNC, STS_CLEAR, STS_HALTED, STS_SYSTEM_ERROR,
        USBCMD, USBINTR, USBMODE, USBSTS,
    },
};

/// Time for the controller to stop (EHCI 1.0, 2.3.1: 16 micro-frames), to reset itself, or to start.
const RESET_LIMIT: Micros = 100_000;
/// Time for the answer to the doorbell: the list has four entries, and no transaction takes longer than a frame.
const DOORBELL_LIMIT: Micros = 20_000;

/// What is to be transferred.
#[derive(Clone, Copy, Debug)]
enum Job {
    Control { address: u8, max_packet: u8, request: Request },
    Command(CbwOut),
    In { into: Into, length: usize },
}

impl Job {
    fn queue(&self) -> Queue {
        match self {
            Self::Control { .. } => Queue::Control,
            Self::Command(_) => Queue::Out,
            Self::In { .. } => Queue::In,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Told to stop, and to be reset afterwards.
    Stopping { since: Micros },
    /// Resetting itself.
    Resetting { since: Micros },
    /// Told to run.
    Starting { since: Micros },
    /// Nothing to do.
    Idle,
    /// A job is on the schedule.
    Busy { job: Job, until: Micros },
    /// A queue head was taken off the list, and the doorbell was rung.
    Draining { since: Micros },
}

/// A ChipIdea core as the host of one drive.
pub struct Ehci<H: Hardware, const SLOT: usize> {
    hardware: H,
    memory: Dma<SLOT>,
    config: Config,
    port: RootPort,
    queues: QueueStates,
    state: State,
    /// A job that waits for the controller, and when its time is up.
    waiting: Option<(Job, Micros)>,
    /// How the last job ended, until it is asked for.
    outcome: Option<Result<usize, PipeFault>>,
    filled: Filled,
    /// The caller's time, as of its last call.
    now: Micros,
}

/// Bytes that the last transfers brought.
#[derive(Clone, Copy, Debug, Default)]
struct Filled {
    control: usize,
    a: usize,
    b: usize,
    status: usize,
}

impl Filled {
    fn place(&mut self, place: Into) -> &mut usize {
        match place {
            Into::Slot(Slot::A) => &mut self.a,
            Into::Slot(Slot::B) => &mut self.b,
            Into::Status => &mut self.status,
        }
    }
}

impl<H: Hardware, const SLOT: usize> Ehci<H, SLOT> {
    /// Takes the core and its memory, and begins to bring the core up; nothing is awaited.
    pub fn new(
        mut hardware: H,
        memory: &'static mut Memory<SLOT>,
        config: Config,
        now: Micros,
    ) -> Self {
        let bus = hardware.bus_address((&raw mut *memory).cast_const().cast());
        hardware.set_vbus(false);
        stop(&mut hardware);
        Self {
            hardware,
            memory: Dma::new(memory, bus),
            config,
            port: RootPort::new(now),
            queues: QueueStates::default(),
            state: State::Stopping { since: now },
            waiting: None,
            outcome: None,
            filled: Filled::default(),
            now,
        }
    }

    fn advance(&mut self, now: Micros) {
        self.now = now;
        match self.state {
            State::Stopping { since } => self.stopping(since),
            State::Resetting { since } => self.resetting(since),
            State::Starting { since } => self.starting(since),
            State::Busy { job, until } => self.watch(&job, until),
            State::Draining { since } => self.draining(since),
            State::Idle => self.idle(),
        }
    }

    fn is_up(&self) -> bool {
        matches!(self.state, State::Idle | State::Busy { .. } | State::Draining { .. })
    }

    fn passed(&self, since: Micros, time: Micros) -> bool {
        self.now.saturating_sub(since) >= time
    }

    fn stopping(&mut self, since: Micros) {
        let halted = self.hardware.read(USBSTS) & STS_HALTED != 0;
        if halted || self.passed(since, RESET_LIMIT) {
            self.hardware.write(USBCMD, CMD_RESET);
            self.state = State::Resetting { since: self.now };
        }
    }

    fn resetting(&mut self, since: Micros) {
        if self.hardware.read(USBCMD) & CMD_RESET == 0 {
            self.set_up();
            self.state = State::Starting { since: self.now };
        } else if self.passed(since, RESET_LIMIT) {
            self.restart();
        }
    }

    fn starting(&mut self, since: Micros) {
        if self.hardware.read(USBSTS) & (STS_HALTED | STS_ASYNC) == STS_ASYNC {
            self.state = State::Idle;
        } else if self.passed(since, RESET_LIMIT) {
            self.restart();
        }
    }

    fn idle(&mut self) {
        if self.has_stopped() {
            self.restart();
        } else if let Some((job, until)) = self.waiting.take() {
            self.launch(job, until);
        }
    }

    /// After a reset: host, polling, an empty list, everything on.
    fn set_up(&mut self) {
        self.memory.release();
        self.queues = QueueStates::default();
        let list = self.memory.clear_list();
        self.hardware.barrier();
        self.hardware.write(USBMODE, MODE_HOST);
        self.hardware.write(SBUSCFG, BURSTS_ANY);
        self.hardware.write(USBINTR, 0);
        self.hardware.write(USBSTS, STS_CLEAR);
        self.hardware.write(ASYNCLISTADDR, list);
        // Without an interrupt threshold the status bits that are polled for come at once.
        self.hardware.write(USBCMD, CMD_RUN | CMD_ASYNC);
        self.hardware.write(CONFIGFLAG, 1);
    }

    /// Resets the controller, which has stopped by itself or does not answer. The device is lost with it, and what a transfer brought: its place
    /// is not the driver's before the controller has stopped.
    fn restart(&mut self) {
        stop(&mut self.hardware);
        self.port.restart(&mut self.hardware);
        if self.waiting.take().is_some() || matches!(self.outcome, Some(Ok(_))) {
            self.outcome = Some(Err(PipeFault::Gone));
        }
        self.state = State::Stopping { since: self.now };
    }

    fn has_stopped(&self) -> bool {
        self.hardware.read(USBSTS) & (STS_HALTED | STS_SYSTEM_ERROR) != 0
    }

    /// Puts a job in the place of whatever was going on.
    fn begin(&mut self, job: Job, limit: Micros, now: Micros) {
        self.now = now;
        self.withdraw();
        if self.is_up() {
            self.waiting = Some((job, now.saturating_add(limit)));
            self.advance(now);
        } else {
            self.outcome = Some(Err(PipeFault::Gone));
        }
    }

    /// Takes the job in progress off the schedule and forgets it.
    fn withdraw(&mut self) {
        self.waiting = None;
        if let State::Busy { job, .. } = self.state {
            self.drain(job.queue());
        }
        self.outcome = None;
    }

    fn launch(&mut self, job: Job, until: Micros) {
        let queue = job.queue();
        if self.port.speed().is_none() || !RootPort::is_alive(&self.hardware) {
            self.outcome = Some(Err(PipeFault::Gone));
            return;
        }
        if let Job::Control { address, max_packet, .. } = job {
            self.queues.get(Queue::Control).wanted = self.control_endpoint(address, max_packet);
        }
        let state = self.queues.get(queue);
        if state.linked && state.is_stale() {
            self.waiting = Some((job, until));
            self.drain(queue);
            return;
        }
        match self.lay_out(&job) {
            Some(first) => {
                self.memory.start(queue, first, &self.hardware);
                self.state = State::Busy { job, until };
            }
            None => self.outcome = Some(Err(PipeFault::Error)),
        }
    }

    /// Prepares queue head and descriptors; the first descriptor's address, or `None` if the endpoint or the length is not allowed.
    fn lay_out(&mut self, job: &Job) -> Option<u32> {
        self.prepare(job.queue())?;
        self.note(job, 0);
        match job {
            Job::Control { request, .. } => self.memory.put_control(request),
            Job::Command(cbw) => self.memory.put_command(cbw),
            Job::In { into, length } => self.memory.put_in(*into, *length),
        }
    }

    /// Writes a queue head that is not in the list, and puts it there; `None` if its endpoint is not known.
    fn prepare(&mut self, queue: Queue) -> Option<()> {
        let state = self.queues.get(queue);
        let endpoint = state.wanted?;
        if !state.linked {
            let toggle = state.toggle && !state.restart;
            state.restart = false;
            state.written = Some(endpoint);
            state.linked = true;
            self.memory.write_queue(queue, endpoint, toggle);
            self.memory.link(self.queues.linked(), &self.hardware);
        }
        Some(())
    }

    /// Endpoint 0, with a packet size that the standard allows (USB 2.0, 5.5.3).
    fn control_endpoint(&self, address: u8, max_packet: u8) -> Option<Endpoint> {
        let speed = self.port.speed()?;
        let sizes: &[u8] = if speed == Speed::High { &[64] } else { &[8, 16, 32, 64] };
        (address < 128 && sizes.contains(&max_packet))
            .then(|| Endpoint::control(address, u16::from(max_packet), speed))
    }

    /// A bulk endpoint, with a packet size that the standard allows (USB 2.0, 5.8.3): descriptors end between packets of these
    /// sizes only.
    fn bulk_endpoint(&self, address: u8, number: u8, max_packet: u16) -> Option<Endpoint> {
        let speed = self.port.speed()?;
        let sizes: &[u16] = if speed == Speed::High { &[512] } else { &[8, 16, 32, 64] };
        ((1..128).contains(&address) && (1..16).contains(&number) && sizes.contains(&max_packet))
            .then(|| Endpoint::bulk(address, number, max_packet, speed))
    }

    fn watch(&mut self, job: &Job, until: Micros) {
        let standing = match job {
            Job::Control { request, .. } => self.memory.control_standing(request.data_in()),
            Job::Command(_) => self.memory.command_standing(),
            Job::In { length, .. } => self.memory.in_standing(*length),
        };
        self.hardware.barrier();
        match standing {
            Standing::Done { moved, cut } => self.finish(job, moved, cut),
            Standing::Stalled { moved } => self.fail(job, moved, PipeFault::Stall),
            Standing::Failed { moved } => self.fail(job, moved, PipeFault::Error),
            Standing::Active if !RootPort::is_alive(&self.hardware) => {
                self.fail(job, 0, PipeFault::Gone);
            }
            Standing::Active if self.has_stopped() => {
                self.outcome = Some(Err(PipeFault::Gone));
                self.restart();
            }
            Standing::Active if self.now >= until => self.fail(job, 0, PipeFault::TimedOut),
            Standing::Active => {}
        }
    }

    fn finish(&mut self, job: &Job, moved: usize, cut: bool) {
        self.note(job, moved);
        self.outcome = Some(Ok(moved));
        if cut {
            self.drain(job.queue());
        } else {
            self.memory.release();
            self.state = State::Idle;
        }
    }

    fn fail(&mut self, job: &Job, moved: usize, fault: PipeFault) {
        let fault = if RootPort::is_alive(&self.hardware) { fault } else { PipeFault::Gone };
        self.note(job, moved);
        self.outcome = Some(Err(fault));
        self.drain(job.queue());
    }

    fn note(&mut self, job: &Job, moved: usize) {
        match job {
            Job::Control { .. } => self.filled.control = moved,
            Job::Command(_) => {}
            Job::In { into, .. } => *self.filled.place(*into) = moved,
        }
    }

    /// Takes a queue head off the list and rings the doorbell.
    fn drain(&mut self, queue: Queue) {
        self.queues.get(queue).linked = false;
        self.memory.link(self.queues.linked(), &self.hardware);
        self.hardware.write(USBSTS, STS_ADVANCED);
        let command = self.hardware.read(USBCMD);
        self.hardware.write(USBCMD, command | CMD_DOORBELL);
        self.state = State::Draining { since: self.now };
    }

    fn draining(&mut self, since: Micros) {
        let is_late = self.passed(since, DOORBELL_LIMIT);
        // Some controllers are known to let the bell go without the status bit. That is an answer too.
        let is_silent = is_late && self.hardware.read(USBCMD) & CMD_DOORBELL == 0;
        if is_silent || self.hardware.read(USBSTS) & STS_ADVANCED != 0 {
            self.hardware.write(USBSTS, STS_ADVANCED);
            self.hardware.barrier();
            self.memory.release();
            for queue in Queue::ALL {
                let toggle = self.memory.toggle(queue);
                let state = self.queues.get(queue);
                if !state.linked && state.written.take().is_some() {
                    state.toggle = toggle;
                }
            }
            self.state = State::Idle;
            self.idle();
        } else if is_late || self.has_stopped() {
            self.restart();
        }
    }
}

impl<H: Hardware, const SLOT: usize> HostController for Ehci<H, SLOT> {
    fn slot_bytes(&self) -> usize {
        SLOT
    }

    fn poll_port(&mut self, now: Micros) -> Port {
        self.advance(now);
        if self.is_up() {
            self.port.poll(&mut self.hardware, self.config.speed, now)
        } else {
            Port::Empty
        }
    }

    fn reset_port(&mut self, now: Micros) {
        self.now = now;
        self.withdraw();
        if self.is_up() {
            for queue in Queue::ALL {
                let state = self.queues.get(queue);
                state.wanted = None;
                state.restart = true;
            }
            self.port.reset(&mut self.hardware, now);
        }
    }

    fn start_control(&mut self, address: u8, max_packet: u8, request: &Request, now: Micros) {
        let job = Job::Control { address, max_packet, request: *request };
        self.begin(job, self.config.control_limit, now);
    }

    fn control_data(&self) -> &[u8] {
        self.memory.control_data(self.filled.control)
    }

    fn set_endpoints(&mut self, endpoints: Endpoints) {
        let Endpoints { address, bulk_in, bulk_out, max_packet_in, max_packet_out } = endpoints;
        let wanted = [
            (Queue::In, self.bulk_endpoint(address, bulk_in, max_packet_in)),
            (Queue::Out, self.bulk_endpoint(address, bulk_out, max_packet_out)),
        ];
        for (queue, endpoint) in wanted {
            let state = self.queues.get(queue);
            state.wanted = endpoint;
            state.restart = true;
        }
    }

    fn clear_toggle(&mut self, endpoint: u8) {
        let queue = if endpoint & 0x80 == 0 { Queue::Out } else { Queue::In };
        self.queues.get(queue).restart = true;
    }

    fn start_cbw(&mut self, cbw: &CbwOut, now: Micros) {
        self.begin(Job::Command(*cbw), self.config.bulk_limit, now);
    }

    fn start_in(&mut self, into: Into, length: usize, now: Micros) {
        let length = length.min(Dma::<SLOT>::room(into));
        self.begin(Job::In { into, length }, self.config.bulk_limit, now);
    }

    fn poll_transfer(&mut self, now: Micros) -> Option<Result<usize, PipeFault>> {
        self.advance(now);
        // While the queue head is on its way out, the buffer is not yet the caller's.
        if matches!(self.state, State::Draining { .. }) { None } else { self.outcome.take() }
    }

    fn cancel(&mut self) {
        self.withdraw();
    }

    fn data(&self, from: Into) -> &[u8] {
        let length = match from {
            Into::Slot(Slot::A) => self.filled.a,
            Into::Slot(Slot::B) => self.filled.b,
            Into::Status => self.filled.status,
        };
        self.memory.data(from, length)
    }
}

/// Schedules off; the reset follows when the controller has stopped.
fn stop(hardware: &mut impl Hardware) {
    hardware.write(USBINTR, 0);
    hardware.write(USBCMD, 0);
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
