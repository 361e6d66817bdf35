//! Made-up computers.

use super::fixtures::Tree;
use crate::devices::{
    ata::tests::identify,
    guard::{Guard, Refused},
    hazards::HazardKind,
    host::{Verdict, checks},
    identity::{Asked, Report},
    sysfs::{Disk, Roots, Transport},
    uses::UseKind,
};

const SATA: &str = "pci0000:00/0000:00:17.0/ata2/host1/target1:0:0/1:0:0:0";
const USB: &str = "pci0000:00/0000:00:14.0/usb2/2-1/2-1.4/2-1.4:1.0/host6/target6:0:0/6:0:0:0";

/// A SATA disk whose IDENTIFY data the kernel keeps, with two partitions.
fn sata(tree: &Tree) -> String {
    let disk = tree.disk(SATA, "sda", "8:0", 1_953_525_168);
    let device = ["vendor=ATA     ", "model=ST1000VX001-1HH1", "rev=CC43", "state=running"];
    tree.device(SATA, "sda", &device);
    tree.files(&format!("sys/devices/{SATA}"), &["wwid=naa.5000c500a1b2c3d4"]);
    let mut page = vec![0, 0x89, 0x02, 0x38];
    page.resize(60, 0);
    page.extend(identify("W4Z0ABCD", "CC43", "ST1000VX001-1HH162", 1_953_525_168));
    tree.bytes(&format!("sys/devices/{SATA}/vpd_pg89"), &page);
    tree.bytes(&format!("sys/devices/{SATA}/vpd_pg80"), b"\x00\x80\x00\x0cW4Z0ABCD    ");
    tree.partition(&disk, 10, "8:10", 4096, 1000);
    tree.partition(&disk, 2, "8:2", 2048, 1000);
    disk
}

fn usb(tree: &Tree, product: &str) -> String {
    let disk = tree.disk(USB, "sdb", "8:16", 4096);
    tree.device(USB, "sdb", &["vendor=JMicron", "model=Generic", "rev=0104"]);
    tree.files(
        "sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1.4",
        &[
            "idVendor=1209",
            "idProduct=0001",
            "bcdDevice=0104",
            &format!("product={product}"),
            "serial=DB12345678",
            "speed=480",
            "version= 2.10",
        ],
    );
    // The hub above is a USB device as well, and not the disk's adapter.
    tree.files(
        "sys/devices/pci0000:00/0000:00:14.0/usb2/2-1",
        &["idVendor=05e3", "idProduct=0612"],
    );
    disk
}

fn one(roots: &Roots, name: &str) -> Disk {
    roots.disk(name).unwrap_or_else(|| panic!("{name}"))
}

/// full names from the IDENTIFY data, place on the bus, partitions in the order of their numbers.
#[test]
fn a_sata_disk() {
    let tree = Tree::new();
    sata(&tree);
    let disk = one(&tree.roots(), "sda");
    assert_eq!(disk.transport, Transport::Ata);
    assert_eq!((disk.vendor.as_deref(), disk.serial.as_deref()), (None, Some("W4Z0ABCD")));
    assert_eq!(disk.model.as_deref(), Some("ST1000VX001-1HH162"));
    assert_eq!((disk.firmware.as_deref(), disk.size), (Some("CC43"), 1_000_204_886_016));
    assert_eq!(disk.wwn.as_deref(), Some("naa.5000c500a1b2c3d4"));
    assert_eq!((disk.logical_sector_bytes, disk.physical_sector_bytes), (512, 4096));
    assert_eq!(disk.bus_path, format!("devices/{SATA}/block/sda"));
    let parts: Vec<_> = disk.partitions.iter().map(|part| (part.index, part.offset)).collect();
    assert_eq!(parts, [(2, 1_048_576), (10, 2_097_152)]);
    // Its node is no device here: what the kernel keeps stands.
    let report = Report::of_disk(&tree.roots(), &disk, false);
    assert_eq!(report.identify.value().unwrap().serial.as_deref(), Some("W4Z0ABCD"));
    assert!(report.security.value().unwrap().is_frozen);
    assert_eq!(report.unit_serial.value().unwrap(), "W4Z0ABCD");
    assert!(matches!(report.hpa, Asked::NotAsked { .. }));
}

/// The adapter's identity is its own, not the disk's; a name alone is what makes a bridge here.
#[test]
fn a_usb_disk_behind_a_bridge() {
    for (product, is_bridge) in [("Daleel write blocker, Pico", true), ("Other", false)] {
        let tree = Tree::new();
        usb(&tree, product);
        let disk = one(&tree.roots(), "sdb");
        assert_eq!((disk.transport, disk.serial.as_deref()), (Transport::Usb, None));
        let link = disk.usb.unwrap();
        assert_eq!((link.vendor_id.as_str(), link.port.as_str()), ("1209", "2-1.4"));
        assert_eq!((link.serial.as_deref(), link.speed_mbit), (Some("DB12345678"), Some(480)));
        assert_eq!((link.is_bridge, link.version.as_deref()), (is_bridge, Some("2.10")));
    }
}

#[test]
fn nvme_cards_virtual_and_memory_disks() {
    let tree = Tree::new();
    let bus = "pci0000:00/0000:01:00.0/nvme/nvme0";
    tree.disk(bus, "nvme0n1", "259:0", 4096);
    tree.device(bus, "nvme0n1", &["model=Samsung SSD", "serial=S4EW", "firmware_rev=2B2Q"]);
    tree.files(&format!("sys/devices/{bus}/block/nvme0n1"), &["wwid=eui.0025385b"]);
    let bus = "platform/mmc_host/mmc0/mmc0:aaaa";
    let card = tree.disk(bus, "mmcblk0", "179:0", 4096);
    tree.device(bus, "mmcblk0", &["name=SC16G", "serial=0x12345678", "fwrev=0x0"]);
    tree.partition(&card, 1, "179:1", 8, 100);
    tree.disk("pci0000:00/0000:00:02.0/virtio1", "vda", "254:0", 4096);
    tree.disk("virtual", "ram0", "1:0", 4096);
    tree.disk("virtual", "zram0", "252:0", 4096);
    tree.disk("virtual", "loop1", "7:1", 0);
    let looped = tree.disk("virtual", "loop0", "7:0", 2048);
    tree.files(&looped, &["loop/backing_file=/images/disk.dd", "loop/offset=512", "loop/dio=1"]);
    tree.disk("pci0000:00/usb1/host9", "sdc", "8:32", 0);
    let disks = tree.roots().disks().unwrap();
    let seen: Vec<_> = disks.iter().map(|disk| (disk.name.as_str(), disk.transport)).collect();
    let expected = [
        ("loop0", Transport::Loop),
        ("mmcblk0", Transport::Mmc),
        ("nvme0n1", Transport::Nvme),
        ("sdc", Transport::Scsi),
        ("vda", Transport::Virtio),
    ];
    assert_eq!(seen, expected);
    let [looped, card, nvme, ..] = disks.as_slice() else { panic!() };
    let file = looped.loop_file.as_ref().unwrap();
    assert_eq!(
        (file.backing_file.as_str(), file.offset, file.direct_io),
        ("/images/disk.dd", 512, true)
    );
    assert_eq!(
        (card.model.as_deref(), card.serial.as_deref()),
        (Some("SC16G"), Some("0x12345678"))
    );
    assert_eq!(
        (nvme.wwn.as_deref(), nvme.firmware.as_deref()),
        (Some("eui.0025385b"), Some("2B2Q"))
    );
    let report = Report::of_disk(&tree.roots(), nvme, true);
    assert!(matches!(report.smart, Asked::NotAsked { ref reason } if reason.contains("NVMe")));
}

/// A RAID on a partition, a logical volume on the RAID, a file system on that: all of it uses the disk.
#[test]
fn what_stands_on_a_disk_uses_it() {
    let tree = Tree::new();
    let disk = sata(&tree);
    tree.files(&format!("{disk}/sda2/holders"), &["md127=x"]);
    let md = tree.disk("virtual", "md127", "9:127", 900);
    tree.files(&md, &["md/level=raid1", "slaves/sda2=x", "holders/dm-0=x"]);
    let dm = tree.disk("virtual", "dm-0", "253:0", 800);
    tree.files(&dm, &["dm/name=vg0-home", "dm/uuid=LVM-abc", "slaves/md127=x"]);
    tree.files("proc/self", &["mountinfo=40 1 253:0 / /home rw - ext4 /dev/mapper/vg0-home rw"]);
    let roots = tree.roots();
    let sda = one(&roots, "sda");
    let names: Vec<_> = roots.stack(&sda).into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["sda", "sda2", "sda10", "md127", "dm-0"]);
    let texts: Vec<_> = roots.uses(&sda).iter().map(|one| one.text()).collect();
    let expected = [
        "dm-0 is mounted at /home (ext4)",
        "md127 is part of vg0-home (lvm)",
        "sda2 is part of md127 (raid1)",
    ];
    assert_eq!(texts, expected);
    let md = one(&roots, "md127");
    assert_eq!(
        (md.transport, md.assembly.unwrap().parts),
        (Transport::Md, vec!["sda2".to_owned()])
    );
    match Guard::take(&roots, &sda) {
        Err(Refused::InUse { reasons, .. }) => assert_eq!(reasons, expected),
        other => panic!("{other:?}"),
    }
}

/// Holders that go round in a circle do not.
#[test]
fn a_stack_that_is_a_circle_ends() {
    let tree = Tree::new();
    let first = tree.disk("virtual", "dm-0", "253:0", 800);
    let second = tree.disk("virtual", "dm-1", "253:1", 800);
    tree.files(&first, &["holders/dm-1=x"]);
    tree.files(&second, &["holders/dm-0=x", "holders/dm-9=x"]);
    let roots = tree.roots();
    assert_eq!(roots.stack(&one(&roots, "dm-0")).len(), 2);
}

/// Mounts by number and by source, read-only ones too, and swap by any of its names.
#[test]
fn mounted_partitions_and_swap() {
    let tree = Tree::new();
    sata(&tree);
    let lines = "22 1 8:2 / /mnt/my\\040disk ro,relatime - ext4 /dev/sda2 ro
23 1 0:45 /sub /data rw - btrfs /dev/sda10 rw
24 1 8:99 / /other rw - ext4 /dev/sdz rw";
    let swaps = "Filename Type Size Used Priority\n/dev/disk/by-label/swap partition 8 0 -2";
    tree.files("proc", &[&format!("self/mountinfo={lines}"), &format!("swaps={swaps}")]);
    let link = tree.roots().path("dev/disk/by-label/swap");
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    tree.bytes("dev/sda10", b"");
    std::os::unix::fs::symlink("../../sda10", link).unwrap();
    let roots = tree.roots();
    let uses = roots.uses(&one(&roots, "sda"));
    let seen: Vec<_> =
        uses.iter().map(|one| (one.kind, one.device.as_str(), one.is_read_only)).collect();
    let expected = [
        (UseKind::Mounted, "sda10", false),
        (UseKind::Mounted, "sda2", true),
        (UseKind::Swap, "sda10", false),
    ];
    assert_eq!(seen, expected);
    assert_eq!(uses[1].by, "/mnt/my disk");
    assert!(roots.is_system_disk(&uses), "this computer swaps to it");
}

/// What could write: the node, a mount, an automounter, udev's rules; a read-only disk leaves nothing to say.
#[test]
fn hazards() {
    let tree = Tree::new();
    let disk = sata(&tree);
    tree.files("proc/100", &["comm=udisksd"]).files("proc/101", &["comm=systemd-udevd"]);
    tree.bytes("usr/lib/udev/rules.d/64-md-raid-assembly.rules", b"rule");
    tree.bytes("usr/lib/udev/rules.d/69-lvm.rules", b"rule")
        .bytes("etc/udev/rules.d/69-lvm.rules", b"");
    let roots = tree.roots();
    let kinds = || {
        let sda = one(&roots, "sda");
        let all = roots.hazards(&sda, &roots.uses(&sda), &roots.watchers());
        all.iter().map(|hazard| hazard.kind).collect::<Vec<_>>()
    };
    let watchers = roots.watchers();
    assert_eq!(watchers.automounters, ["the program udisksd runs"]);
    assert_eq!(watchers.assemblers, ["software RAID (mdadm)"]);
    use HazardKind::{Assembly, Automounter, InUse, State, Writable};
    assert_eq!(kinds(), [Writable, Automounter, Assembly]);
    tree.files("proc/self", &["mountinfo=22 1 8:2 / /mnt rw - ext4 /dev/sda2 rw"]);
    tree.files(&format!("sys/devices/{SATA}"), &["state=offline"]);
    assert_eq!(kinds(), [InUse, Writable, Automounter, Assembly, State]);
    tree.files("proc/self", &["mountinfo=22 1 8:2 / / rw - ext4 /dev/sda2 rw"]);
    assert_eq!(kinds(), [], "the disk that this computer runs from");
    tree.files("proc/self", &["mountinfo=22 1 9:9 / / rw - ext4 /dev/x rw"]);
    tree.files(&format!("sys/devices/{SATA}"), &["state=running"]);
    tree.files(&disk, &["ro=1", "sda2/ro=1", "sda10/ro=1"]);
    assert_eq!(kinds(), []);
}

fn verdicts(tree: &Tree, name: &str) -> Vec<(Verdict, String)> {
    let all = checks(&tree.roots(), None).into_iter().filter(|check| check.name == name);
    all.map(|check| (check.verdict, check.text)).collect()
}

/// U-14: each check has its two sides.
#[test]
fn the_self_check() {
    let tree = Tree::new();
    let verdict = |name: &str| verdicts(&tree, name)[0].0;
    tree.files("proc", &["sys/kernel/osrelease=6.1.0-13-amd64", "meminfo=MemAvailable: 100000 kB"]);
    tree.files("proc/self", &["status=CapEff:\t0000000000000000"]);
    for (name, expected) in [
        ("kernel", Verdict::Ok),
        ("privileges", Verdict::Warning),
        ("write block", Verdict::Ok),
        ("automount", Verdict::Ok),
        ("assembly", Verdict::Ok),
        ("sleep", Verdict::Ok),
        ("clock", Verdict::Warning),
        ("time zone", Verdict::Ok),
        ("memory", Verdict::Warning),
    ] {
        assert_eq!(verdict(name), expected, "{name}");
    }
    let disk = usb(&tree, "Daleel write blocker, Teensy");
    assert_eq!(verdict("write block"), Verdict::Warning);
    assert_eq!(verdict("usb link"), Verdict::Ok, "a bridge of ours has USB 2");
    tree.files(&disk, &["ro=1"]);
    assert!(verdicts(&tree, "write block")[0].1.contains("daleel bridge info"));
    usb_product(&tree);
    assert_eq!(verdict("usb link"), Verdict::Warning);
    tree.files("proc", &["self/mountinfo=22 1 8:16 / /mnt ro - ext4 /dev/sdb ro"]);
    assert_eq!(verdict("write block"), Verdict::Problem);
    tree.files("sys/power", &["state=freeze mem disk"]).files("run/systemd", &["x=y"]);
    tree.files("etc/systemd/logind.conf.d", &["10-lid.conf=[Login]\nHandleLidSwitch=lock"]);
    assert_eq!(verdict("sleep"), Verdict::Warning);
    assert!(verdicts(&tree, "sleep")[0].1.contains("closing the lid does `lock`"));
    tree.files("run/systemd/inhibit", &["1=WHAT=sleep:idle\nMODE=block"]);
    assert_eq!(verdict("sleep"), Verdict::Ok);
    tree.files("run/systemd/timesync", &["synchronized="]);
    assert_eq!(verdict("clock"), Verdict::Ok);
    tree.files("etc", &["adjtime=0.0 0 0.0\n0\nLOCAL"]);
    assert_eq!(verdict("time zone"), Verdict::Warning);
    tree.files(
        "proc",
        &["self/status=CapEff:\t000001ffffffffff", "meminfo=MemAvailable: 9000000 kB"],
    );
    assert_eq!((verdict("privileges"), verdict("memory")), (Verdict::Ok, Verdict::Ok));
    tree.files("proc/sys/kernel", &["osrelease=4.19.0"]);
    assert_eq!(verdict("kernel"), Verdict::Warning);
}

fn usb_product(tree: &Tree) {
    tree.files("sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1.4", &["product=Other"]);
}

/// U-14: where an image is to go: space, and what the file system holds.
#[test]
fn the_destination() {
    let tree = Tree::new();
    let folder = tempfile::tempdir().unwrap();
    let real = std::fs::canonicalize(folder.path()).unwrap();
    let of = |kind: &str, name: &str| {
        let mount = format!(
            "self/mountinfo=1 1 8:1 / / rw - ext4 x rw\n2 1 8:2 / {} rw - {kind} y rw",
            real.display()
        );
        tree.files("proc", &[&mount]);
        let all = checks(&tree.roots(), Some(&folder.path().join("not/there/yet")));
        all.into_iter().find(|check| check.name == name).unwrap().verdict
    };
    assert_eq!(of("ext4", "file system"), Verdict::Ok);
    assert_eq!(of("vfat", "file system"), Verdict::Warning);
    assert_eq!(of("tmpfs", "file system"), Verdict::Problem);
    assert_eq!(of("ext4", "free space"), Verdict::Ok);
    tree.disk(SATA, "sda", "8:0", u64::from(u32::MAX) * 4096);
    assert_eq!(of("ext4", "free space"), Verdict::Warning);
}

/// Files of a size, of a kind or with a content that no kernel has.
#[test]
fn a_tree_of_nonsense_is_no_computer() {
    let tree = Tree::new();
    assert!(Roots::at("/nowhere/at/all").disks().is_err());
    let disk = tree.disk("virtual", "sdx", "8:0", u64::MAX);
    tree.files(&disk, &["queue/logical_block_size=7", "ro=maybe", "sdx1/partition=99999999999"]);
    tree.files(&disk, &["dm/uuid=-", "dm/name=\u{1b}[2J", "sdx2/partition=2"]);
    tree.disk("virtual", "sdy", "8", 1);
    let roots = tree.roots();
    let disk = one(&roots, "sdx");
    assert_eq!((disk.size, disk.logical_sector_bytes, disk.partitions.len()), (u64::MAX, 512, 0));
    assert!(roots.disk("sdy").is_none());
    for name in ["", ".", "..", "../..", "a/b", "\0"] {
        assert!(roots.disk(name).is_none(), "{name:?}");
    }
    assert!(!roots.uses(&disk).iter().any(|one| one.kind == UseKind::Mounted));
}
