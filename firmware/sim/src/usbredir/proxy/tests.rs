//! The tap between a scripted guest and a served device, on real sockets.

#![allow(clippy::arithmetic_side_effects)]

use super::*;
use crate::drive::{DriveConfig, ModelDrive};
use crate::usb::{ModelUsbDrive, UsbOptions};
use crate::usbredir::Server;

const TEST_UNIT_READY: [u8; 31] =
    *b"USBC\x01\0\0\0\0\0\0\0\x80\0\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const DEVICE_DESCRIPTOR: [u8; 8] = [0x80, 6, 0, 1, 0, 0, 18, 0];
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(300);

struct Guest {
    stream: UnixStream,
    input: Vec<u8>,
    is_wide: bool,
}

impl Guest {
    fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut guest = Self { stream, input: Vec::new(), is_wide: false };
        assert_eq!(guest.next().kind, kind::HELLO);
        let mut hello = vec![0; 64];
        hello.extend((capability::OURS | 1 << 2).to_le_bytes());
        guest.send(kind::HELLO, 0, &hello);
        guest.is_wide = true;
        for expected in [kind::INTERFACE_INFO, kind::EP_INFO, kind::DEVICE_CONNECT] {
            assert_eq!(guest.next().kind, expected);
        }
        guest
    }

    fn send(&mut self, kind: u32, id: u64, body: &[u8]) {
        let mut bytes = Vec::new();
        packet::append(&mut bytes, kind, id, body, self.is_wide);
        self.stream.write_all(&bytes).unwrap();
    }

    fn next(&mut self) -> Packet {
        loop {
            if let Some(packet) = packet::take(&mut self.input, self.is_wide).unwrap() {
                return packet;
            }
            let mut buffer = [0; 4096];
            let length = self.stream.read(&mut buffer).unwrap();
            assert!(length > 0, "the link was closed");
            self.input.extend(&buffer[..length]);
        }
    }

    fn bulk(&mut self, id: u64, endpoint: u8, length: u8, data: &[u8]) {
        let mut body = vec![endpoint, 0, length, 0, 0, 0, 0, 0, 0, 0];
        body.extend(data);
        self.send(kind::BULK_PACKET, id, &body);
        let answer = self.next();
        assert_eq!((answer.kind, answer.id, answer.body[1]), (kind::BULK_PACKET, id, 0));
    }
}

/// Own requests are answered without a guest, wait for the end of a guest's command, never show up at the guest, and stand in the record
/// between the commands; a second guest finds the device as the first did.
#[test]
fn own_requests_stand_between_commands() {
    let folder = tempfile::tempdir().unwrap();
    let (device, link) = (folder.path().join("device"), folder.path().join("link"));
    let drive = ModelUsbDrive::new(ModelDrive::new(DriveConfig::default()), UsbOptions::default());
    let server = Server::start(Arc::new(Mutex::new(drive)), &device, Options::default()).unwrap();
    let proxy = Proxy::start(&device, &link, Options::default(), LONG).unwrap();
    proxy.wait_connected(LONG).unwrap();
    let ask = |patience| proxy.control(DEVICE_DESCRIPTOR, &[], patience);
    assert_eq!(ask(LONG).unwrap().unwrap().len(), 18);
    for number in 1..=2 {
        let mut guest = Guest::connect(&link);
        guest.send(kind::SET_CONFIGURATION, 1, &[1]);
        while guest.next().kind != kind::CONFIGURATION_STATUS {}
        guest.bulk(2, 0x02, 31, &TEST_UNIT_READY);
        assert_eq!(
            ask(SHORT).unwrap_err().kind(),
            ErrorKind::TimedOut,
            "in the middle of a command"
        );
        guest.bulk(3, 0x81, 13, &[]);
        assert_eq!(ask(LONG).unwrap().unwrap().len(), 18);
        assert_eq!(proxy.control([0xC1, 0x77, 0, 0, 0, 0, 1, 0], &[], LONG).unwrap(), Err(Stall));
        guest.bulk(4, 0x02, 31, &TEST_UNIT_READY);
        guest.bulk(5, 0x81, 13, &[]);
        drop(guest);
        while proxy.guests() < number {
            thread::sleep(PAUSE);
        }
    }
    let trace = proxy.stop().unwrap();
    let order: Vec<&str> = trace
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Cbw(_) => Some("command"),
            Event::Csw(_) => Some("status"),
            Event::Control { answer: Ok(_), .. } => Some("asked"),
            Event::Control { answer: Err(_), .. } => Some("refused"),
            _ => None,
        })
        .collect();
    let guest = ["command", "status", "asked", "refused", "command", "status"];
    assert_eq!(order, [&["asked"][..], &guest, &guest].concat());
    assert_eq!(server.stop().unwrap().counters.cbws, 4);
}
