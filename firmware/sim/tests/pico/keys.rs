//! The Pico's key, its power-ups and what is wrong with either (published requirements, sections 4.5 and 5.4).

use super::*;

/// Requirements 4.5, 5.4: a board makes its key once, from its oscillator and the host's bytes, comes back under its serial number, and counts
/// its power-ups; nothing but the two sectors is written.
#[test]
fn a_board_is_provisioned_once() {
    let Some(tools) = tools() else { return };
    let mut bench = Bench::empty(&tools, &PowerUp::default());
    let before = bench.info();
    assert!(!before.has(flag::KEY));
    assert_eq!((before.boot_counter, before.protection), (1, None));
    assert!(bench.request(&Request::Start, &START).is_none(), "no key");
    let firmware = bench.board().flash(FLASH, 0x1F_E000);
    bench.request(&Request::Provision, &[0x3C; 32]).unwrap();
    let mut waited = 0;
    while bench.board().state()["watchdog_restarts"] == 0 {
        bench.board().run(100_000);
        waited += 1;
        assert!(waited < 80, "no key");
    }
    assert!(bench.board().wait_connected());
    assert!(bench.host.enumerate());
    let page = bench.board().flash(KEY_PAGE, KeyPage::SIZE);
    let page = KeyPage::parse(page.as_slice().try_into().unwrap()).unwrap();
    assert_eq!(KeyPage::from_seed(page.seed), page);
    let info = bench.info();
    assert!(info.has(flag::KEY));
    assert_eq!((info.public_key, info.boot_counter), (page.public_key, 2));
    let serial: Vec<u8> = bench.board().control([0x80, 6, 3, 3, 9, 4, 255, 0], &[]).unwrap();
    let digits: Vec<u8> = serial[2..].chunks(2).map(|unit| unit[0]).collect();
    assert_eq!(digits, usb_serial(&key_id(&page.public_key)));
    assert!(bench.request(&Request::Provision, &[0x3C; 32]).is_none(), "a key exists");
    assert!(bench.board().power_cycle());
    assert!(bench.host.enumerate());
    assert_eq!((bench.info().public_key, bench.info().boot_counter), (page.public_key, 3));
    assert!(bench.board().flash(FLASH, 0x1F_E000) == firmware, "the image was written over");
    let rom = bench.settle()["rom"].clone();
    assert_eq!(rom["lookups"], json!(["EX", "FC", "IF", "RE", "RP"]), "flash functions only");
    let places: Vec<u64> =
        rom["writes"].as_array().unwrap().iter().map(|w| w["offset"].as_u64().unwrap()).collect();
    assert_eq!(
        places,
        [0x1F_EF00, 0x1F_F000, 0x1F_EF00, 0x1F_EF00]
            .map(|at| at - 0xE00 * u64::from(at == 0x1F_EF00))
    );
}

/// Requirements 5.4: no key is made while a card is attached.
#[test]
fn no_key_is_made_while_a_card_is_attached() {
    let Some(tools) = tools() else { return };
    let mut bench = Bench::empty(&tools, &PowerUp::default());
    bench.insert(&json!({}));
    assert!(bench.info().has(flag::DRIVE));
    assert!(bench.request(&Request::Provision, &[0x3C; 32]).is_none());
    bench.board().run(100_000);
    assert!(bench.board().flash(KEY_PAGE, 256).iter().all(|byte| *byte == 0xFF));
    bench.settle();
}

/// Requirements 5.4: nor for a card that comes in while it is being made; without the card it is made the next time.
#[test]
fn no_key_is_written_when_a_card_came_in_meanwhile() {
    let Some(tools) = tools() else { return };
    let mut bench = Bench::empty(&tools, &PowerUp::default());
    bench.request(&Request::Provision, &[0x3C; 32]).unwrap();
    bench.board().run(20_000);
    bench.insert(&json!({}));
    bench.board().ask(&json!({"do": "rtt"}));
    let mut waited = 0;
    // The one thing that is logged from here on is that no key was made.
    while bench.board().ask(&json!({"do": "rtt"}))["data"] == "" {
        bench.board().run(200_000);
        waited += 1;
        assert!(waited < 50, "still at it");
    }
    assert!(waited > 5, "over before the card was there");
    let info = bench.info();
    assert!(info.has(flag::DRIVE) && !info.has(flag::KEY));
    assert!(bench.board().flash(KEY_PAGE, 4096).iter().all(|byte| *byte == 0xFF));
    assert_eq!(bench.board().state()["power_ups"], 1);
    bench.board().remove();
    bench.board().run(MISSED_US);
    bench.request(&Request::Provision, &[0x3C; 32]).unwrap();
    let mut waited = 0;
    while bench.board().state()["watchdog_restarts"] == 0 {
        bench.board().run(100_000);
        waited += 1;
        assert!(waited < 80, "no key");
    }
    assert!(bench.board().wait_connected());
    assert!(bench.host.enumerate());
    assert!(bench.info().has(flag::KEY));
    bench.settle();
}

/// Requirements 4.5: the counter goes on when its sector is full.
#[test]
fn the_boot_counter_goes_on_when_its_sector_is_full() {
    let Some(tools) = tools() else { return };
    let mut sector = vec![0; 4096];
    sector[..256].fill(0xFF);
    sector[4095] = 0x80;
    let power_up = PowerUp { flash: vec![(BOOT_COUNTER, sector)], ..PowerUp::default() };
    let mut bench = Bench::empty(&tools, &power_up);
    assert_eq!(bench.info().boot_counter, 30_720);
    for expected in [30_721, 30_722] {
        assert!(bench.board().power_cycle());
        assert!(bench.host.enumerate());
        assert_eq!(bench.info().boot_counter, expected);
    }
    bench.settle();
}

/// Flashes of the red light since the fault began, which is at most so many microseconds ago: fewer than its round with the pause of three
/// seconds takes.
fn fault_code(board: &mut Emulated, since: u64) -> usize {
    let changes = board.ask(&json!({"do": "lights"}));
    let changes: Vec<&Value> = changes["changes"].as_array().unwrap().iter().collect();
    let end = board.state()["us"].as_u64().unwrap();
    let recent = |change: &&&Value| change[0].as_u64().unwrap() + since > end;
    let is_up = |change: &&&Value| change[1] == "red" && change[2] == 1;
    assert!(!changes.iter().filter(recent).any(|change| change[1] != "red" && change[2] == 1));
    changes.iter().filter(recent).filter(is_up).count()
}

/// Requirements 4.5: a damaged key page is a fault that the lights tell; it is neither taken for a missing key nor written over.
#[test]
fn a_damaged_key_page_is_a_fault() {
    let Some(tools) = tools() else { return };
    let mut page = KeyPage::from_seed(SEED).to_bytes().to_vec();
    page[20] ^= 0x01;
    let power_up = PowerUp { flash: vec![(KEY_PAGE, page.clone())], ..PowerUp::default() };
    let mut board = Emulated::start(&tools, &power_up);
    assert!(!board.connected(), "the bridge must not be seen");
    board.run(2_500_000);
    assert_eq!(fault_code(&mut board, 3_990_000), 3);
    assert_eq!(board.flash(KEY_PAGE, 256), page);
    let state = board.state();
    assert_eq!(state["watchdog_restarts"], 0);
    assert_eq!(
        state["slot"],
        json!({"carried": 0, "clock": state["slot"]["clock"], "select": "high"})
    );
}

/// Requirements 4.5: an oscillator that is stuck makes no key.
#[test]
fn a_stuck_oscillator_makes_no_key() {
    let Some(tools) = tools() else { return };
    let mut bench = Bench::empty(&tools, &PowerUp::default());
    bench.board().ask(&json!({"do": "oscillator", "stuck": true}));
    bench.request(&Request::Provision, &[0x3C; 32]).unwrap();
    let mut waited = 0;
    while bench.board().state()["attached"] == true {
        bench.board().run(200_000);
        waited += 1;
        assert!(waited < 100, "still on the bus");
    }
    bench.board().run(4_500_000);
    assert_eq!(fault_code(bench.board(), 4_600_000), 6);
    assert!(bench.board().flash(KEY_PAGE, 256).iter().all(|byte| *byte == 0xFF));
}
