use wb_policy::{
    cbw::CBW_BYTES,
    down::{CbwOut, DownCommand, InquiryBytes},
};

use super::*;

/// EHCI 1.0, 3.5.4: the first pointer keeps the offset in its page, the others name the pages after it.
#[test]
fn page_pointers_of_an_unaligned_buffer() {
    let pages = Descriptor::bulk_in(CHUNK_BYTES, 0x2020_1FFF).pages;
    assert_eq!(pages, [0x2020_1FFF, 0x2020_2000, 0x2020_3000, 0x2020_4000, 0x2020_5000]);
}

/// Every byte of the largest chunk lies in the five pages, wherever it begins.
#[test]
fn five_pages_hold_the_largest_chunk_from_any_offset() {
    for offset in 0..PAGE_BYTES {
        let address = 0x2020_0000 + offset;
        let Descriptor { token, pages } = Descriptor::bulk_in(u32::MAX, address);
        let length = (token >> 16) & 0x7FFF;
        assert_eq!(length, CHUNK_BYTES);
        for at in [0, 1, 4095, 4096, length - 1] {
            // What the controller does with C_Page and the current offset (EHCI 1.0, 4.10.6).
            let place = (pages[0] & 0xFFF) + at;
            let page = usize::try_from(place / PAGE_BYTES).unwrap();
            assert_eq!((pages[page] & !0xFFF) | (place & 0xFFF), address + at);
        }
    }
}

/// EHCI 1.0, table 3-16: total bytes, three tries, token, active; toggle 1 in data and status stages.
#[test]
fn tokens_of_each_stage() {
    let (bytes, setup) = Descriptor::setup(&Request::SetAddress(5), 0x1000);
    assert_eq!(bytes, [0, 5, 5, 0, 0, 0, 0, 0]);
    assert_eq!(setup.token, 0x0008_0E80);
    assert_eq!(Descriptor::control_in(18, 0x1000).token, 0x8012_0D80);
    assert_eq!(Descriptor::status_out().token, 0x8000_0C80);
    assert_eq!(Descriptor::status_in().token, 0x8000_0D80);
    assert_eq!(Descriptor::bulk_in(512, 0x1000).token, 0x0200_0D80);
}

/// Rule 3 of the policy: what goes out is the wrapper's 31 bytes.
#[test]
fn a_command_is_31_bytes_out() {
    let inquiry = DownCommand::Inquiry(InquiryBytes::new(36).unwrap());
    let cbw = CbwOut::new(7, 0, &inquiry, 512).unwrap();
    let (bytes, descriptor) = Descriptor::command(&cbw, 0x3000);
    assert_eq!(bytes.len(), CBW_BYTES);
    assert_eq!(&bytes, cbw.as_bytes());
    assert_eq!(descriptor.token, 0x001F_0C80);
    assert_eq!(descriptor.pages[0], 0x3000);
}

/// EHCI 1.0, 3.5.3: a STALL leaves tries, a failing bus does not, babble is an error with tries left; that memory was slow once says nothing
/// of the end.
#[test]
fn ends_are_told_apart() {
    assert_eq!(progress(0x0200_0D80), Progress::Active);
    assert_eq!(progress(0x0010_0D00), Progress::Done { left: 16 });
    assert_eq!(progress(0x0200_0D40), Progress::Stalled { left: 512 });
    assert_eq!(progress(0x0200_0148), Progress::Failed { left: 512 });
    assert_eq!(progress(0x0200_0D50), Progress::Failed { left: 512 });
    assert_eq!(progress(0x0200_0D60), Progress::Stalled { left: 512 });
    assert_eq!(progress(0x0200_0168), Progress::Failed { left: 512 });
    assert_eq!(progress(0x0040_0D44), Progress::Failed { left: 64 });
    assert_eq!(progress(0x0000_0D20), Progress::Done { left: 0 });
}

/// Reference manual, "Embedded Transaction Translator Function": the device's speed, hub address 0, the control flag.
#[test]
fn full_speed_endpoints_go_through_the_root_ports_translator() {
    let control = Endpoint::control(0, 8, Speed::Full);
    assert_eq!(control.characteristics, 0x0808_4000);
    assert_eq!(control.capabilities, 0x4080_0000);
    let bulk = Endpoint::bulk(3, 2, 64, Speed::Full);
    assert_eq!(bulk.characteristics, 0x0040_0203);
    assert_eq!(bulk.capabilities, 0x4080_0000);
}

/// EHCI 1.0, 3.6.2.
#[test]
fn high_speed_endpoints() {
    let control = Endpoint::control(1, 64, Speed::High);
    assert_eq!(control.characteristics, 0x4040_6001);
    let bulk = Endpoint::bulk(1, 1, 512, Speed::High);
    assert_eq!(bulk.characteristics, 0x4200_2101);
    assert_eq!(bulk.capabilities, 0x4000_0000);
    assert_eq!(Endpoint::HEAD.characteristics, 0x0000_A000);
}
