//! B16: devices that lie. Whatever they say, the drive side ends in a bounded time, sends nothing but wrappers and requests of the
//! closed list, and does not panic.

use proptest::prelude::*;
use wb_bridge::{drive::DriveEvent, host::Request};
use wb_policy::down::DownCommand;
use wb_sim::{
    drive::{DriveConfig, ModelDrive},
    usb::{InResult, ModelUsbDrive, OutResult, Speed, Stall, UsbDevice, UsbOptions},
};

use super::rig::{Rig, SECOND, is_good, settings};

/// A model drive whose control answers are changed on their way.
struct Mangled {
    inner: ModelUsbDrive,
    /// (answer, offset, value): answers are counted from 0.
    changes: Vec<(usize, usize, u8)>,
    cuts: Vec<(usize, usize)>,
    answers: usize,
}

impl UsbDevice for Mangled {
    fn control(&mut self, setup: [u8; 8], data_out: &[u8]) -> Result<Vec<u8>, Stall> {
        let mut answer = self.inner.control(setup, data_out)?;
        for (number, offset, value) in &self.changes {
            if *number == self.answers
                && let Some(byte) = answer.get_mut(*offset)
            {
                *byte = *value;
            }
        }
        for (number, length) in &self.cuts {
            if *number == self.answers {
                answer.truncate(*length);
            }
        }
        self.answers += 1;
        Ok(answer)
    }

    fn bulk_out(&mut self, endpoint: u8, data: &[u8]) -> OutResult {
        self.inner.bulk_out(endpoint, data)
    }

    fn bulk_in(&mut self, endpoint: u8, max: usize) -> InResult {
        self.inner.bulk_in(endpoint, max)
    }

    fn reset(&mut self) {
        self.inner.reset();
    }

    fn speed(&self) -> Speed {
        self.inner.speed()
    }
}

/// A device with honest descriptors that answers every bulk-IN transfer with bytes of its own making.
struct Babbler {
    inner: ModelUsbDrive,
    answers: Vec<Vec<u8>>,
    next: usize,
    /// Gives its data a status wrapper with the right tag every second time.
    plausible: bool,
    tag: [u8; 4],
}

impl UsbDevice for Babbler {
    fn control(&mut self, setup: [u8; 8], data_out: &[u8]) -> Result<Vec<u8>, Stall> {
        self.inner.control(setup, data_out)
    }

    fn bulk_out(&mut self, _endpoint: u8, data: &[u8]) -> OutResult {
        if let Some(tag) = data.get(4..8).and_then(|tag| tag.try_into().ok()) {
            self.tag = tag;
        }
        OutResult::Ack(data.len())
    }

    fn bulk_in(&mut self, _endpoint: u8, max: usize) -> InResult {
        self.next += 1;
        if self.plausible && max == 32 {
            let status = u8::from(self.next.is_multiple_of(3));
            let csw = [&b"USBS"[..], &self.tag, &[0; 4], &[status]].concat();
            return InResult::Data(csw);
        }
        let count = self.answers.len().max(1);
        match self.answers.get(self.next % count) {
            None => InResult::Stall,
            Some(answer) if answer.len() == 1 => InResult::Stall,
            Some(answer) => InResult::Data(answer.iter().copied().take(max).collect()),
        }
    }

    fn reset(&mut self) {
        self.inner.reset();
    }

    fn speed(&self) -> Speed {
        self.inner.speed()
    }
}

fn honest(uas: bool) -> ModelUsbDrive {
    let options = UsbOptions { uas, ..UsbOptions::default() };
    ModelUsbDrive::new(ModelDrive::new(DriveConfig::default()), options)
}

/// Whether a request is one of the closed list (6.3): standard or the two of the class, and nothing for a vendor.
fn is_on_the_list(request: &Request) -> bool {
    let [kind, code, ..] = request.setup();
    matches!(
        (kind, code),
        (0x80, 6) | (0x00, 5 | 9) | (0x01, 11) | (0x02, 1) | (0xA1, 0xFE) | (0x21, 0xFF)
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Changed and cut control answers: served or refused, never more than three tries without a disk.
    #[test]
    fn changed_descriptors_end_in_bounds(
        changes in proptest::collection::vec((0..12_usize, 0..90_usize, any::<u8>()), 0..4),
        cuts in proptest::collection::vec((0..12_usize, 0..90_usize), 0..2),
        uas: bool,
    ) {
        let device = Mangled { inner: honest(uas), changes, cuts, answers: 0 };
        let mut rig = Rig::new(device, settings());
        let event = rig.event(300 * SECOND);
        prop_assert_eq!(event, Some(DriveEvent::Attached));
        prop_assert!(rig.side.host().resets() <= 16);
        prop_assert!(rig.side.host().requests().iter().all(is_on_the_list));
        rig.assert_rules();
        prop_assert!(rig.side.host().device().inner.only_cbws());
    }

    /// Arbitrary bytes in place of data and status.
    #[test]
    fn arbitrary_answers_end_in_bounds(
        answers in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..8),
        plausible: bool,
    ) {
        let inner = honest(false);
        let device = Babbler { inner, answers, next: 0, plausible, tag: [0; 4] };
        let mut rig = Rig::new(device, settings());
        prop_assert_eq!(rig.event(3600 * SECOND), Some(DriveEvent::Attached));
        rig.assert_rules();
        prop_assert!(rig.side.host().requests().iter().all(is_on_the_list));
        if rig.report().refused.is_none() {
            let completion = rig.run(DownCommand::ReadCapacity16);
            prop_assert!(completion.delivered <= 32);
            rig.assert_rules();
        }
    }
}

/// B16: random INQUIRY, capacity and sense bytes with a correct transport: any size they claim is one the bridge can serve.
#[test]
fn claimed_sizes_are_bounded() {
    for fill in 0..=255_u8 {
        let answers = vec![vec![fill; 600], vec![fill ^ 0x55; 64]];
        let device =
            Babbler { inner: honest(false), answers, next: 0, plausible: true, tag: [0; 4] };
        let mut rig = Rig::new(device, settings());
        assert_eq!(rig.event(3600 * SECOND), Some(DriveEvent::Attached));
        if let Some(geometry) = rig.capture().geometry {
            assert!(geometry.block_bytes >= 512);
            assert!(usize::try_from(geometry.block_bytes).expect("fits") <= super::rig::SLOT_BYTES);
            assert!(geometry.blocks > 0);
        }
        rig.assert_rules();
    }
}

/// An honest device under the same wrapper is served: the properties above are not vacuous.
#[test]
fn the_wrapper_alone_changes_nothing() {
    let device = Mangled { inner: honest(true), changes: vec![], cuts: vec![], answers: 0 };
    let mut rig = Rig::new(device, settings());
    rig.attach();
    assert_eq!(rig.report().refused, None);
    assert!(is_good(&rig.read(0, 4)));
}
