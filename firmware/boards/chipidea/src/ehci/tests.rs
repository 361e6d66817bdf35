use std::{boxed::Box, vec, vec::Vec};

use wb_policy::down::{DownCommand, InquiryBytes};

use super::{
    model::{Board, Model, Reaction, Seen},
    *,
};
use crate::registers::MODE_HOST;

const SLOT: usize = 64 * 1024;
const HIGH: u32 = 2 << 26;
const ENABLED: u32 = 1 << 2;

struct Bench {
    board: Board,
    host: Ehci<Board, SLOT>,
    now: Micros,
}

impl Bench {
    fn new() -> Self {
        let board = Board::default();
        board.0.borrow_mut().after_reset = ENABLED | HIGH;
        let memory = Box::leak(Box::new(Memory::new()));
        let host = Ehci::new(board.clone(), memory, Config::CHIP, 0);
        Self { board, host, now: 0 }
    }

    fn model<R>(&self, change: impl FnOnce(&mut Model) -> R) -> R {
        change(&mut self.board.0.borrow_mut())
    }

    /// Polls the port every millisecond until it stands like that.
    fn until(&mut self, wanted: Port) -> Micros {
        let begun = self.now;
        while self.host.poll_port(self.now) != wanted {
            self.now += 1000;
            assert!(self.now < begun + 10_000_000, "the port never was {wanted:?}");
        }
        self.now - begun
    }

    /// A device at address 1 with its endpoints 1 IN and 2 OUT.
    fn enabled() -> Self {
        Self::at(Speed::High)
    }

    fn at(speed: Speed) -> Self {
        let mut bench = Self::new();
        let (after_reset, max_packet) = match speed {
            Speed::High => (ENABLED | HIGH, 512),
            Speed::Full => (ENABLED, 64),
        };
        bench.model(|model| model.after_reset = after_reset);
        bench.model(Model::attach);
        bench.until(Port::Connected);
        bench.host.reset_port(bench.now);
        bench.until(Port::Enabled(speed));
        bench.host.set_endpoints(Endpoints {
            address: 1,
            bulk_in: 1,
            bulk_out: 2,
            max_packet_in: max_packet,
            max_packet_out: max_packet,
        });
        bench
    }

    fn react(&self, reactions: &[Reaction]) {
        self.model(|model| model.reactions.extend(reactions.iter().cloned()));
    }

    /// Rounds of the schedule, 100 microseconds each, until the transfer ends.
    fn finish(&mut self) -> Result<usize, PipeFault> {
        for _ in 0..2_000_000 {
            self.model(Model::step);
            self.now += 100;
            if let Some(outcome) = self.host.poll_transfer(self.now) {
                return outcome;
            }
        }
        panic!("no outcome");
    }

    fn read(&mut self, length: usize) -> Result<usize, PipeFault> {
        self.host.start_in(Into::Slot(Slot::A), length, self.now);
        self.finish()
    }

    fn data(&self) -> &[u8] {
        self.host.data(Into::Slot(Slot::A))
    }

    fn control(&mut self, request: Request) -> Result<usize, PipeFault> {
        self.host.start_control(1, 64, &request, self.now);
        self.finish()
    }

    fn seen(&self) -> Vec<Seen> {
        self.model(|model| std::mem::take(&mut model.seen))
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

fn inquiry() -> CbwOut {
    CbwOut::new(1, 0, &DownCommand::Inquiry(InquiryBytes::new(36).unwrap()), 512).unwrap()
}

/// USB 2.0, 7.1.7: power, 100 ms of debounce, a reset of at least 50 ms, 10 ms of recovery; the chips end the reset, EHCI leaves it to the driver.
#[test]
fn the_port_keeps_the_standards_times() {
    for ends_reset in [false, true] {
        let mut bench = Bench::new();
        assert!(!bench.model(|model| model.vbus));
        bench.until(Port::Empty);
        bench.model(|model| model.ends_reset = ends_reset);
        bench.model(Model::attach);
        assert!(bench.until(Port::Connected) >= 200_000);
        assert_eq!(bench.model(|model| (model.vbus, model.mode)), (true, MODE_HOST));
        bench.host.reset_port(bench.now);
        if !ends_reset {
            assert_ne!(bench.model(|model| model.port) & (1 << 8), 0);
        }
        assert_eq!(bench.host.poll_port(bench.now), Port::Resetting);
        assert!(bench.until(Port::Enabled(Speed::High)) >= 60_000);
        assert!(bench.model(|model| model.high_speed));
    }
}

/// A device that takes its power from the port loses it when the bridge starts, for half a second.
#[test]
fn the_port_begins_without_power() {
    let mut bench = Bench::new();
    while !bench.model(|model| model.vbus) {
        bench.now += 1000;
        assert_eq!(bench.host.poll_port(bench.now), Port::Empty);
    }
    assert!((500_000..510_000).contains(&bench.now));
}

/// The chips end a reset at their own time, also just when the driver is about to: the port stays enabled.
#[test]
fn a_reset_that_ends_at_the_last_moment() {
    let mut bench = Bench::new();
    bench.model(|model| model.ends_reset_at_the_last_moment = true);
    bench.model(Model::attach);
    bench.until(Port::Connected);
    bench.host.reset_port(bench.now);
    bench.until(Port::Enabled(Speed::High));
}

/// A device that misses two resets is enabled by the third; one that misses them all is a fault, not an endless row of resets.
#[test]
fn missed_resets() {
    for (missed, port, resets) in [
        (0, Port::Enabled(Speed::High), 1),
        (2, Port::Enabled(Speed::High), 3),
        (9, Port::Fault, 3),
    ] {
        let mut bench = Bench::new();
        bench.model(|model| model.missed_resets = missed);
        bench.model(Model::attach);
        bench.until(Port::Connected);
        bench.host.reset_port(bench.now);
        assert!(bench.until(port) < 500_000);
        assert_eq!(bench.model(|model| model.port_resets), resets);
        bench.now += 10_000_000;
        assert_eq!(bench.host.poll_port(bench.now), port);
        assert_eq!(bench.model(|model| model.port_resets), resets);
    }
}

/// PSPD: full speed is taken, low speed and a device that is not enabled are faults.
#[test]
fn speeds() {
    for (after, port) in [
        (ENABLED, Port::Enabled(Speed::Full)),
        (ENABLED | (1 << 26), Port::Fault),
        (ENABLED | (3 << 26), Port::Fault),
        (HIGH, Port::Fault),
    ] {
        let mut bench = Bench::new();
        bench.model(|model| model.after_reset = after);
        bench.model(Model::attach);
        bench.until(Port::Connected);
        bench.host.reset_port(bench.now);
        bench.until(port);
        assert!(!bench.model(|model| model.high_speed));
        bench.model(Model::detach);
        bench.until(Port::Empty);
    }
}

/// Over-current takes the power away for seconds; then the port begins anew.
#[test]
fn over_current_cuts_the_power() {
    let mut bench = Bench::enabled();
    bench.model(|model| model.port |= 1 << 4);
    bench.until(Port::Fault);
    assert_eq!(bench.model(|model| (model.vbus, model.port & (1 << 12))), (false, 0));
    bench.model(|model| model.port &= !(1 << 4));
    bench.now += 1_000_000;
    assert_eq!(bench.host.poll_port(bench.now), Port::Fault);
    assert!(bench.until(Port::Connected) >= 2_000_000);
}

/// A control read: setup, data, status, with the toggles of USB 2.0, 8.5.3; a short answer goes on with the status stage.
#[test]
fn a_control_read() {
    let mut bench = Bench::enabled();
    for length in [18_usize, 8] {
        let answer = pattern(length);
        bench.react(&[Reaction::Accept, Reaction::Data(answer.clone()), Reaction::Accept]);
        assert_eq!(bench.control(Request::DeviceDescriptor { length: 18 }), Ok(length));
        assert_eq!(bench.host.control_data(), answer);
        let seen = bench.seen();
        let stages: Vec<_> = seen.iter().map(|one| (one.pid, one.endpoint, one.toggle)).collect();
        assert_eq!(stages, [(2, 0, 0), (1, 0, 1), (0, 0, 1)]);
        assert_eq!(seen[0].bytes, [0x80, 6, 0, 1, 0, 0, 18, 0]);
    }
}

/// The queue head of endpoint 0 follows the device from address 0 to its own, by way of the doorbell.
#[test]
fn endpoint_0_follows_the_address() {
    let mut bench = Bench::enabled();
    for (address, request) in [
        (0, Request::SetAddress(5)),
        (5, Request::SetConfiguration(1)),
        (6, Request::SetConfiguration(1)),
    ] {
        bench.react(&[Reaction::Accept, Reaction::Accept]);
        bench.host.start_control(address, 64, &request, bench.now);
        assert_eq!(bench.finish(), Ok(0));
        let addresses: Vec<_> = bench.seen().iter().map(|one| one.address).collect();
        assert_eq!(addresses, [u32::from(address); 2]);
    }
}

/// A request without data ends with an empty packet from the device.
#[test]
fn a_control_request_without_data() {
    let mut bench = Bench::enabled();
    bench.react(&[Reaction::Accept, Reaction::Accept]);
    assert_eq!(bench.control(Request::SetConfiguration(1)), Ok(0));
    let stages: Vec<_> = bench.seen().iter().map(|one| (one.pid, one.toggle)).collect();
    assert_eq!(stages, [(2, 0), (1, 1)]);
}

/// A stalled request does not keep the next one from working.
#[test]
fn endpoint_0_works_after_a_stall() {
    let mut bench = Bench::enabled();
    bench.react(&[Reaction::Accept, Reaction::Stall]);
    assert_eq!(bench.control(Request::GetMaxLun { interface: 0 }), Err(PipeFault::Stall));
    bench.react(&[Reaction::Accept, Reaction::Data(vec![0]), Reaction::Accept]);
    assert_eq!(bench.control(Request::GetMaxLun { interface: 0 }), Ok(1));
}

/// Packet sizes outside the standard get no transfer at all.
#[test]
fn packet_sizes_outside_the_standard_are_refused() {
    let mut bench = Bench::enabled();
    bench.host.start_control(1, 8, &Request::SetConfiguration(1), bench.now);
    assert_eq!(bench.finish(), Err(PipeFault::Error));
    for (bulk_in, max_packet_in) in [(1, 0), (1, 64), (1, 1024), (1, 513), (0, 512), (16, 512)] {
        bench.host.set_endpoints(Endpoints {
            address: 1,
            bulk_in,
            bulk_out: 2,
            max_packet_in,
            max_packet_out: 512,
        });
        assert_eq!(bench.read(512), Err(PipeFault::Error));
    }
    assert!(bench.seen().is_empty());
}

/// B11: an answer that would not fit is not asked for.
#[test]
fn an_answer_without_room_is_not_asked_for() {
    let mut bench = Bench::enabled();
    let request = Request::ConfigurationDescriptor { length: u16::MAX };
    assert_eq!(bench.control(request), Err(PipeFault::Error));
    assert!(bench.seen().is_empty());
}

/// Rule 3 of the policy: the wrapper's bytes, once, to the bulk-OUT endpoint.
#[test]
fn a_command_goes_out() {
    let mut bench = Bench::enabled();
    bench.react(&[Reaction::Accept]);
    bench.host.start_cbw(&inquiry(), bench.now);
    assert_eq!(bench.finish(), Ok(31));
    let bytes = inquiry().as_bytes().to_vec();
    assert_eq!(bench.seen(), [Seen { pid: 0, address: 1, endpoint: 2, toggle: 0, bytes }]);
}

/// A slot is filled by one transfer, each slot its own.
#[test]
fn a_whole_slot() {
    let mut bench = Bench::enabled();
    let (a, b) = (pattern(SLOT), vec![0x5A; 513]);
    bench.react(&[Reaction::Data(a.clone())]);
    assert_eq!(bench.read(SLOT), Ok(SLOT));
    bench.react(&[Reaction::Data(b.clone())]);
    bench.host.start_in(Into::Slot(Slot::B), 1024, bench.now);
    assert!(bench.host.data(Into::Slot(Slot::B)).is_empty());
    assert_eq!(bench.finish(), Ok(513));
    assert_eq!(bench.data(), a);
    assert_eq!(bench.host.data(Into::Slot(Slot::B)), b);
}

/// More than a slot is never asked for.
#[test]
fn a_transfer_is_cut_to_its_place() {
    let mut bench = Bench::enabled();
    bench.react(&[Reaction::Data(pattern(SLOT + 512))]);
    assert_eq!(bench.read(usize::MAX), Ok(SLOT));
}

/// After a short packet the rest of the chain takes nothing: what comes next is the status.
#[test]
fn a_short_packet_ends_the_whole_chain() {
    for short in [0, 1, 512 * 7 + 3, 16_384, 16_385, 40_000] {
        let mut bench = Bench::enabled();
        bench.react(&[Reaction::Data(pattern(short))]);
        if short == 16_384 {
            bench.react(&[Reaction::Accept]);
        }
        let status = vec![0xC5; 13];
        bench.react(&[Reaction::Data(status.clone())]);
        assert_eq!(bench.read(SLOT), Ok(short));
        assert_eq!(bench.data(), pattern(short));
        bench.host.start_in(Into::Status, 64, bench.now);
        assert_eq!(bench.finish(), Ok(13));
        assert_eq!(bench.host.data(Into::Status), status);
    }
}

/// The toggle goes on from transfer to transfer and starts anew when a halt was cleared.
#[test]
fn data_toggles() {
    let mut bench = Bench::enabled();
    for _ in 0..3 {
        bench.react(&[Reaction::Data(pattern(13))]);
        assert_eq!(bench.read(512), Ok(13));
    }
    // A cut chain leaves the list and comes back.
    bench.react(&[Reaction::Data(pattern(13)), Reaction::Data(pattern(13))]);
    assert_eq!(bench.read(SLOT), Ok(13));
    assert_eq!(bench.read(SLOT), Ok(13));
    bench.host.clear_toggle(0x81);
    bench.react(&[Reaction::Data(pattern(13))]);
    assert_eq!(bench.read(512), Ok(13));
    let toggles: Vec<_> = bench.seen().iter().map(|one| one.toggle).collect();
    assert_eq!(toggles, [0, 1, 0, 1, 0, 0]);
}

/// The toggle starts anew in a queue head that is in the list and idle, too.
#[test]
fn clearing_the_toggle_of_an_idle_endpoint() {
    let mut bench = Bench::enabled();
    for _ in 0..3 {
        bench.react(&[Reaction::Data(pattern(13))]);
        assert_eq!(bench.read(512), Ok(13));
        bench.host.clear_toggle(0x81);
        bench.react(&[Reaction::Accept]);
        bench.host.start_cbw(&inquiry(), bench.now);
        assert_eq!(bench.finish(), Ok(31));
        bench.host.clear_toggle(0x02);
    }
    assert!(bench.seen().iter().all(|one| one.toggle == 0));
}

/// What a failing transfer brought is shown when the controller has let go of the place, not before.
#[test]
fn a_place_is_not_shown_while_the_controller_may_write_to_it() {
    let mut bench = Bench::enabled();
    bench.react(&[Reaction::DataThenStall(pattern(512))]);
    bench.host.start_in(Into::Slot(Slot::A), 1024, bench.now);
    bench.model(Model::step);
    assert_eq!(bench.host.poll_transfer(bench.now), None);
    assert!(bench.data().is_empty());
    bench.model(Model::step);
    assert_eq!(bench.host.poll_transfer(bench.now), Some(Err(PipeFault::Stall)));
    assert_eq!(bench.data(), pattern(512));
}

/// Each way to fail is told apart, keeps what came before, and does not keep the endpoint from working again.
#[test]
fn failures_and_what_comes_after() {
    for (reaction, fault, moved) in [
        (Reaction::Stall, PipeFault::Stall, 0),
        (Reaction::DataThenStall(pattern(1024)), PipeFault::Stall, 1024),
        (Reaction::NoAnswer, PipeFault::Error, 0),
        (Reaction::Babble, PipeFault::Error, 0),
    ] {
        let mut bench = Bench::enabled();
        bench.react(&[reaction]);
        assert_eq!(bench.read(4096), Err(fault));
        assert_eq!(bench.data(), pattern(moved));
        bench.host.clear_toggle(0x81);
        bench.react(&[Reaction::Data(pattern(512))]);
        assert_eq!(bench.read(512), Ok(512));
        assert_eq!(bench.data(), pattern(512));
    }
}

/// EHCI 1.0, table 3-16: slow memory is tried again without being counted, and does not change what the end means.
#[test]
fn slow_memory_is_no_end() {
    let mut bench = Bench::enabled();
    bench.react(&[Reaction::Overrun, Reaction::Overrun, Reaction::Data(pattern(4096))]);
    assert_eq!(bench.read(4096), Ok(4096));
    assert_eq!(bench.data(), pattern(4096));
    bench.react(&[Reaction::Overrun, Reaction::Stall]);
    assert_eq!(bench.read(4096), Err(PipeFault::Stall));
}

/// B16: a device that never answers is given up after the limit.
#[test]
fn a_silent_device_runs_into_the_time_out() {
    let mut bench = Bench::enabled();
    let begun = bench.now;
    assert_eq!(bench.read(512), Err(PipeFault::TimedOut));
    assert!((60_000_000..60_100_000).contains(&(bench.now - begun)));
    let begun = bench.now;
    assert_eq!(bench.control(Request::SetConfiguration(1)), Err(PipeFault::TimedOut));
    assert!((5_000_000..5_100_000).contains(&(bench.now - begun)));
}

/// A cancelled transfer has no outcome, takes no data, and its place is not shown before the controller let go of it.
#[test]
fn cancelling() {
    let mut bench = Bench::enabled();
    bench.react(&[Reaction::Data(pattern(512))]);
    assert_eq!(bench.read(512), Ok(512));
    bench.host.start_in(Into::Slot(Slot::A), 512, bench.now);
    bench.model(Model::step);
    bench.host.cancel();
    assert_eq!(bench.host.poll_transfer(bench.now), None);
    assert!(bench.data().is_empty());
    // The next one waits for the doorbell by itself, with the toggle where it was.
    bench.react(&[Reaction::Data(pattern(100))]);
    assert_eq!(bench.read(512), Ok(100));
    assert_eq!(bench.data(), pattern(100));
    assert_eq!(bench.seen().last().unwrap().toggle, 1);
}

/// A new transfer takes the place of the one in progress.
#[test]
fn a_transfer_takes_the_place_of_another() {
    let mut bench = Bench::enabled();
    bench.host.start_in(Into::Slot(Slot::A), 512, bench.now);
    bench.react(&[Reaction::Accept, Reaction::Accept]);
    bench.host.start_control(1, 64, &Request::BulkOnlyReset { interface: 0 }, bench.now);
    assert_eq!(bench.finish(), Ok(0));
}

/// D-07: unplugged in mid-transfer; nothing is sent to a device that was not reset and given its address.
#[test]
fn unplugged_in_mid_transfer() {
    let mut bench = Bench::enabled();
    bench.host.start_in(Into::Slot(Slot::A), 512, bench.now);
    bench.model(Model::step);
    bench.model(Model::detach);
    assert_eq!(bench.finish(), Err(PipeFault::Gone));
    // Back at once: the caller sees an empty port in between.
    bench.model(Model::attach);
    bench.react(&[Reaction::Accept]);
    bench.host.start_cbw(&inquiry(), bench.now);
    assert_eq!(bench.finish(), Err(PipeFault::Gone));
    assert_eq!(bench.host.poll_port(bench.now), Port::Empty);
    bench.until(Port::Connected);
    bench.host.start_cbw(&inquiry(), bench.now);
    assert_eq!(bench.finish(), Err(PipeFault::Gone));
    assert!(bench.seen().is_empty());
    bench.host.reset_port(bench.now);
    bench.until(Port::Enabled(Speed::High));
    // The old endpoints are forgotten.
    bench.host.start_cbw(&inquiry(), bench.now);
    assert_eq!(bench.finish(), Err(PipeFault::Error));
    assert!(bench.seen().is_empty());
}

/// A controller that does not answer the doorbell, or has stopped, is reset, and the port begins anew.
#[test]
fn a_lost_controller_is_reset() {
    for stop in [false, true] {
        let mut bench = Bench::enabled();
        bench.host.start_in(Into::Slot(Slot::A), 512, bench.now);
        if stop {
            bench.model(|model| model.status |= (1 << 12) | (1 << 4));
            assert_eq!(bench.finish(), Err(PipeFault::Gone));
        } else {
            bench.model(|model| model.deaf = true);
            bench.react(&[Reaction::Stall]);
            assert_eq!(bench.finish(), Err(PipeFault::Stall));
        }
        assert_eq!(bench.host.poll_port(bench.now), Port::Empty);
        bench.host.start_cbw(&inquiry(), bench.now);
        assert_eq!(bench.finish(), Err(PipeFault::Gone));
        bench.until(Port::Connected);
        assert_eq!(bench.model(|model| model.resets), 2);
    }
}

/// A short answer whose place the controller does not give back is no answer: its bytes are not to be had.
#[test]
fn data_of_a_lost_controller_are_lost() {
    let mut bench = Bench::enabled();
    bench.model(|model| model.deaf = true);
    bench.react(&[Reaction::Data(pattern(13))]);
    assert_eq!(bench.read(SLOT), Err(PipeFault::Gone));
    assert!(bench.data().is_empty());
}

/// A doorbell that is let go without the status bit is answered too: nothing is lost.
#[test]
fn an_answer_without_the_status_bit() {
    let mut bench = Bench::enabled();
    bench.model(|model| model.mumbles = true);
    bench.react(&[Reaction::Data(pattern(13))]);
    assert_eq!(bench.read(SLOT), Ok(13));
    assert_eq!(bench.data(), pattern(13));
    assert_eq!(bench.model(|model| model.resets), 1);
}

/// B16: a controller that never comes back leaves an empty port, and no call waits for it.
#[test]
fn a_dead_controller_is_an_empty_port() {
    let mut bench = Bench::enabled();
    bench.model(|model| {
        model.stays_in_reset = true;
        model.status |= 1 << 12;
    });
    for _ in 0..2000 {
        bench.now += 1000;
        assert_eq!(bench.host.poll_port(bench.now), Port::Empty);
    }
    assert_eq!(bench.read(512), Err(PipeFault::Gone));
}

/// Full speed: packets of 64 bytes through the same paths.
#[test]
fn a_full_speed_device() {
    let mut bench = Bench::at(Speed::Full);
    bench.react(&[Reaction::Data(pattern(20_000))]);
    assert_eq!(bench.read(20_480), Ok(20_000));
    assert_eq!(bench.data(), pattern(20_000));
    bench.host.start_control(1, 8, &Request::SetConfiguration(1), bench.now);
    bench.react(&[Reaction::Accept, Reaction::Accept]);
    assert_eq!(bench.finish(), Ok(0));
}
