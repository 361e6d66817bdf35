//! D-07, B23: the drive, or its power, goes at any moment. It is untouched, and whoever comes back is captured anew.

use wb_bridge::{
    drive::{Completion, Drive, DriveEvent, Fault, Slot, Status},
    usb::Return,
};
use wb_policy::down::DownCommand;
use wb_sim::{controller::Injected, drive::DriveConfig};

use super::rig::{Rig, SECOND, is_good};

fn hiding() -> DriveConfig {
    DriveConfig { native_blocks: 70_000, ..DriveConfig::default() }
}

/// Gives the drive its power back and plugs it in.
fn plug_in_again(rig: &mut Rig) {
    rig.usb().reconnect();
    rig.plug();
    rig.attach();
}

fn assert_served(rig: &mut Rig, digest: [u8; 32], at: u64) {
    assert_eq!(rig.report().refused, None, "at {at}");
    let completion = rig.read(7, 8);
    assert!(is_good(&completion), "at {at}");
    let expected = rig.model().peek(7, 8);
    assert_eq!(rig.delivered(&completion), expected);
    assert_eq!(rig.digest(), digest);
    rig.assert_clean();
}

/// D-07: at every transfer of the attach, before and after the device took part in it.
#[test]
fn power_loss_at_every_transfer_of_the_attach() {
    let transfers = Rig::attached(hiding()).side.host().transfers();
    for at in 0..transfers {
        for kind in [Injected::GoneBefore, Injected::GoneAfter] {
            let mut rig = Rig::of(hiding());
            let digest = rig.digest();
            rig.side.host_mut().inject(at, kind);
            // The last transfer may have done all that the script needs.
            let event = rig.event(20 * SECOND);
            assert!(
                matches!(event, None | Some(DriveEvent::Attached)),
                "{kind:?} at {at}: {event:?}"
            );
            if event.is_some() {
                assert_eq!(rig.event(SECOND), Some(DriveEvent::Detached), "{kind:?} at {at}");
            }
            assert!(rig.side.report().is_none());
            assert_eq!(rig.digest(), digest);
            plug_in_again(&mut rig);
            assert_served(&mut rig, digest, at);
        }
    }
}

/// D-07: at every transfer of a read session of three commands.
#[test]
fn power_loss_at_every_transfer_of_a_read_session() {
    let mut clean = Rig::attached(hiding());
    let attach = clean.side.host().transfers();
    for lba in [0, 1000, 65_000] {
        clean.read(lba, 128);
    }
    for at in attach..clean.side.host().transfers() {
        for kind in [Injected::GoneBefore, Injected::GoneAfter] {
            let mut rig = Rig::attached(hiding());
            let digest = rig.digest();
            rig.side.host_mut().inject(at, kind);
            let mut gone = false;
            for lba in [0, 1000, 65_000] {
                if gone {
                    break;
                }
                let completion = rig.read(lba, 128);
                gone = completion.status == Status::Fault(Fault::Gone);
                assert!(gone || is_good(&completion), "{kind:?} at {at}: {completion:?}");
            }
            assert!(gone, "{kind:?} at {at}");
            assert_eq!(rig.event(SECOND), Some(DriveEvent::Detached));
            assert_eq!(rig.digest(), digest);
            plug_in_again(&mut rig);
            assert_eq!(rig.side.returned(), Some(Return::Same));
            assert_served(&mut rig, digest, at);
        }
    }
}

/// The same by time instead of by transfer: at every poll from power-up to the end of a READ.
#[test]
fn unplugging_at_every_poll() {
    for at in 0..120 {
        let mut rig = Rig::of(hiding());
        let digest = rig.digest();
        let mut attached = false;
        let mut busy = false;
        for _ in 0..at {
            match rig.step() {
                Some(DriveEvent::Attached) => attached = true,
                Some(DriveEvent::Done(_)) => busy = false,
                Some(other) => panic!("{other:?}"),
                None => {}
            }
            if attached && !busy {
                let geometry = rig.capture().geometry.expect("a size");
                let read = DownCommand::Read(geometry.range(3, 8).expect("inside"));
                busy = rig.side.start(&read, Slot::A, rig.now);
            }
        }
        rig.unplug();
        let gone = Completion { status: Status::Fault(Fault::Gone), delivered: 0 };
        if busy {
            assert_eq!(rig.event(SECOND), Some(DriveEvent::Done(gone)), "at {at}");
        }
        if attached {
            assert_eq!(rig.event(SECOND), Some(DriveEvent::Detached), "at {at}");
        }
        assert_eq!(rig.event(10 * SECOND), None);
        assert!(!rig.side.start(&DownCommand::TestUnitReady, Slot::A, rig.now));
        plug_in_again(&mut rig);
        assert_served(&mut rig, digest, at);
    }
}

/// The device leaves and is back before anybody looks: the port says so, and it counts as another attach.
#[test]
fn a_quick_exchange_is_noticed() {
    let mut rig = Rig::attached(hiding());
    rig.usb().options_mut().serial = Some("ANOTHER".into());
    rig.usb().reconnect();
    rig.plug();
    assert_eq!(rig.event(SECOND), Some(DriveEvent::Detached));
    rig.attach();
    assert_eq!(rig.side.returned(), Some(Return::Other));
    assert!(is_good(&rig.read(0, 1)));
}

/// D-07: a storm of plugging in and out.
#[test]
fn a_storm_of_plugs_is_survived() {
    let mut rig = Rig::of(hiding());
    let digest = rig.digest();
    for round in 0..300_u64 {
        for _ in 0..(round * 7) % 97 {
            rig.step();
        }
        rig.unplug();
        for _ in 0..round % 3 {
            rig.step();
        }
        rig.usb().reconnect();
        rig.plug();
    }
    while rig.event(10 * SECOND).is_some() {}
    assert_served(&mut rig, digest, 300);
}

/// B11: a contact that bounces is not reset before it has been quiet for 100 ms.
#[test]
fn a_bouncing_contact_is_waited_for() {
    let mut rig = Rig::of(hiding());
    for _ in 0..50 {
        rig.unplug();
        rig.step();
        rig.plug();
        rig.step();
    }
    assert_eq!(rig.side.host().resets(), 0);
    rig.attach();
}
