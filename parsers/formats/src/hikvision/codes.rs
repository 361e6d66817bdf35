//! Names of the events in the recorder's own log.
//!
//! Facts: `docs/formats/hikvision.md` section 10.3, the vendor's list. The same minor number means different things under different major ones.

/// The class of an event.
pub const fn level(major: u16) -> &'static str {
    match major {
        1 => "alarm",
        2 => "exception",
        3 => "operation",
        4 => "information",
        5 => "event",
        _ => "unknown",
    }
}

/// The pair as it is written in output: `3:5b`.
pub fn code(major: u16, minor: u16) -> String {
    format!("{major:x}:{minor:x}")
}

/// What happened, or `None` where the pair is not in the list.
pub const fn name(major: u16, minor: u16) -> Option<&'static str> {
    match major {
        1 => alarm(minor),
        2 => exception(minor),
        3 => operation(minor),
        4 => information(minor),
        _ => None,
    }
}

const fn alarm(minor: u16) -> Option<&'static str> {
    Some(match minor {
        0x01 => "alarm input",
        0x02 => "alarm output",
        0x03 => "motion detection started",
        0x04 => "motion detection stopped",
        0x05 => "video tampering started",
        0x06 => "video tampering stopped",
        0x07 => "video content analysis alarm started",
        0x08 => "video content analysis alarm stopped",
        _ => return None,
    })
}

const fn exception(minor: u16) -> Option<&'static str> {
    Some(match minor {
        0x21 => "video loss",
        0x22 => "illegal login",
        0x23 => "hard disk full",
        0x24 => "hard disk error",
        0x26 => "address conflict",
        0x27 => "network disconnected",
        0x28 => "recording error",
        0x41 => "recording overflow",
        0x54 => "cloud service offline",
        0x80 => "hard disk fault (80)",
        0x81 => "hard disk fault (81)",
        0x82 => "hard disk fault (82)",
        0x83 => "hard disk fault (83)",
        0x84 => "hard disk fault (84)",
        _ => return None,
    })
}

const fn operation(minor: u16) -> Option<&'static str> {
    Some(match minor {
        0x41 => "power on",
        0x42 => "local shutdown",
        0x43 => "abnormal shutdown",
        0x44 => "local reboot",
        0x50 => "local login",
        0x51 => "local logout",
        0x52 => "local configuration",
        0x53 => "local playback by file",
        0x54 => "local playback by time",
        0x55 => "local manual recording started",
        0x56 => "local manual recording stopped",
        0x59 => "local time change",
        0x5A => "local upgrade",
        0x5B => "local record export",
        0x5C => "local hard disk initialisation",
        0x5D => "local configuration export",
        0x5E => "local configuration import",
        0x5F => "local file copy",
        0x60 => "local file locked",
        0x61 => "local file unlocked",
        0x66 => "local backup started",
        0x67 => "local backup stopped",
        0x68 => "local backup, start of its range",
        0x69 => "local backup, end of its range",
        0x6A => "network storage added",
        0x6B => "network storage deleted",
        0x6C => "network storage set",
        0x6D => "local password reset",
        0x6E => "hard disk detection",
        0x70 => "remote login",
        0x71 => "remote logout",
        0x72 => "remote recording started",
        0x73 => "remote recording stopped",
        0x76 => "remote query of parameters",
        0x77 => "remote configuration",
        0x78 => "remote query of the working state",
        0x79 => "remote alarm arming",
        0x7A => "remote alarm disarming",
        0x7B => "remote reboot",
        0x7E => "remote upgrade",
        0x7F => "remote playback or download by file",
        0x80 => "remote playback or download by time",
        0x82 => "remote hard disk initialisation",
        0x83 => "remote shutdown",
        0x84 => "remote file locked",
        0x85 => "remote file unlocked",
        0x86 => "remote configuration export",
        0x87 => "remote configuration import",
        0x88 => "remote record export",
        0x8E => "remote network storage added",
        0x8F => "remote network storage deleted",
        0x90 => "remote network storage set",
        0x95 => "local picture export",
        0x9A => "remote hard disk deletion",
        0x9F => "local file deletion",
        0xDE => "remote file deletion (inquest)",
        0x150 => "local hard disk unloaded",
        0x300 => "hard disk loaded",
        0x301 => "hard disk deleted",
        0x367 => "local manual time setting",
        0x36A => "one-key video export",
        0x36B => "one-key video deletion",
        0x404 => "remote time setting",
        0x405 => "time setting by NTP",
        _ => return None,
    })
}

const fn information(minor: u16) -> Option<&'static str> {
    Some(match minor {
        0xA0 => "time synchronisation",
        0xA1 => "hard disk information",
        0xA2 => "hard disk S.M.A.R.T. information",
        0xA3 => "recording started",
        0xA4 => "recording stopped",
        0xA5 => "expired recording deleted",
        0xA8 => "network disk information",
        0xAA => "system running state",
        0xB3 => "picture recording started",
        0xB4 => "picture recording stopped",
        0xB5 => "expired picture deleted",
        0xCB => "automatic time correction",
        0xD8 => "hard disk initialisation started",
        0xD9 => "hard disk initialisation ended",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G-3: the pair is the key.
    #[test]
    fn the_same_minor_number_means_different_things() {
        assert_eq!(
            (code(3, 0x5B), name(3, 0x5B)),
            ("3:5b".to_owned(), Some("local record export"))
        );
        assert_eq!(name(2, 0x80), Some("hard disk fault (80)"));
        assert_eq!(name(3, 0x80), Some("remote playback or download by time"));
        assert_eq!((level(9), name(4, 0x5B), name(5, 1)), ("unknown", None, None));
    }
}
