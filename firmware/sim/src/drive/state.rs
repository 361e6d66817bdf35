//! Everything a modifying command can change, and its digest.
//!
//! Not part of it, because reads and power commands change it too: sense data, unit attentions,
//! registers, power condition, cache contents, reservations of SPC-2, the prevent-removal flag.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};

use super::bytes::sha256;
use super::config::DriveConfig;
use super::medium::Medium;

/// Block counts of the drive at its three borders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Capacity {
    /// What the host sees.
    pub visible: u64,
    /// Native maximum + 1: without an HPA.
    pub native: u64,
    /// Without DCO.
    pub real: u64,
    /// What the host sees after the next power-up: a volatile SET MAX is forgotten.
    pub persistent: u64,
}

/// SET MAX password and lock.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct SetMax {
    pub(crate) password: Option<[u8; 32]>,
    pub(crate) locked: bool,
    pub(crate) frozen: bool,
    pub(crate) amax_frozen: bool,
}

/// Device configuration overlay.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Dco {
    pub(crate) frozen: bool,
    pub(crate) overlay: Option<Vec<u8>>,
}

/// ATA security.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Security {
    pub(crate) user: Option<[u8; 32]>,
    pub(crate) master: [u8; 32],
    pub(crate) locked: bool,
    pub(crate) frozen: bool,
    pub(crate) erase_prepared: bool,
    pub(crate) attempts_left: u8,
}

/// SMART settings and service-area contents.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Smart {
    pub(crate) enabled: bool,
    pub(crate) autosave: bool,
    pub(crate) auto_offline: u8,
    pub(crate) attribute_saves: u32,
    pub(crate) self_tests: Vec<u8>,
    pub(crate) thresholds: Option<[u8; 32]>,
}

/// SANITIZE state.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Sanitize {
    pub(crate) frozen: bool,
    pub(crate) antifreeze: bool,
    pub(crate) failure_cleared: bool,
}

/// Firmware of the drive.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Firmware {
    pub(crate) staged: Option<[u8; 32]>,
    pub(crate) active: Option<[u8; 32]>,
    pub(crate) buffer: Option<[u8; 32]>,
}

/// Condition of a zone that is not in its initial state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Zone {
    pub(crate) condition: u8,
    /// Blocks behind the zone's start.
    pub(crate) write_pointer: u64,
}

/// All of it.
#[derive(Clone, Debug, Hash)]
pub(crate) struct State {
    pub(crate) medium: Medium,
    pub(crate) capacity: Capacity,
    pub(crate) set_max: SetMax,
    pub(crate) dco: Dco,
    pub(crate) security: Security,
    pub(crate) smart: Smart,
    pub(crate) sanitize: Sanitize,
    pub(crate) firmware: Firmware,
    /// By zone number.
    pub(crate) zones: BTreeMap<u64, Zone>,
    /// ATA logs that were written, by (log, page).
    pub(crate) logs: BTreeMap<(u8, u16), Vec<u8>>,
    /// ATA SET FEATURES by sub-command.
    pub(crate) features: BTreeMap<u8, (u8, u64)>,
    /// SCSI mode pages that were set, by page and sub-page.
    pub(crate) mode_pages: BTreeMap<(u8, u8), Vec<u8>>,
    /// Logical blocks written, as device statistics count them.
    pub(crate) blocks_written: u64,
    /// Parameters of everything else that was set, by command: digest of the last one.
    pub(crate) settings: BTreeMap<&'static str, [u8; 32]>,
    /// Registers and memory of the USB bridge: digest chained over every poke.
    pub(crate) bridge: [u8; 32],
}

impl State {
    pub(crate) fn new(config: &DriveConfig) -> Self {
        let native = if config.native_blocks == 0 { config.blocks } else { config.native_blocks };
        let real = if config.dco_blocks == 0 { native } else { config.dco_blocks };
        let capacity = Capacity { visible: config.blocks, native, real, persistent: config.blocks };
        let security = Security {
            user: config.locked.then_some([0x55; 32]),
            master: [0; 32],
            locked: config.locked,
            frozen: false,
            erase_prepared: false,
            attempts_left: 5,
        };
        let smart = Smart {
            enabled: true,
            autosave: true,
            auto_offline: 0,
            attribute_saves: 0,
            self_tests: Vec::new(),
            thresholds: None,
        };
        Self {
            medium: Medium::new(config.block_bytes, config.base.clone()),
            capacity,
            set_max: SetMax::default(),
            dco: Dco::default(),
            security,
            smart,
            sanitize: Sanitize::default(),
            firmware: Firmware::default(),
            zones: BTreeMap::new(),
            logs: BTreeMap::new(),
            features: BTreeMap::new(),
            mode_pages: BTreeMap::new(),
            blocks_written: 0,
            settings: BTreeMap::new(),
            bridge: [0; 32],
        }
    }

    /// Remembers the parameters of a command whose effect has no model of its own.
    pub(crate) fn set(&mut self, name: &'static str, parameters: &[&[u8]]) {
        self.settings.insert(name, sha256(parameters));
    }

    /// Pokes the bridge: the digest chains over all pokes, so none can be undone unseen.
    pub(crate) fn poke_bridge(&mut self, parameters: &[&[u8]]) {
        let poke = sha256(parameters);
        self.bridge = sha256(&[&self.bridge, &poke]);
    }

    /// Writes one block and counts it.
    pub(crate) fn write_block(&mut self, lba: u64, data: &[u8]) {
        self.medium.write(lba, data);
        self.blocks_written = self.blocks_written.saturating_add(1);
    }

    /// Fills blocks and counts them.
    pub(crate) fn fill(&mut self, lba: u64, blocks: u64, content: &[u8]) {
        let blocks = blocks.min(self.capacity.real.saturating_sub(lba));
        self.medium.fill(lba, blocks, content);
        self.blocks_written = self.blocks_written.saturating_add(blocks);
    }

    /// Fills the whole medium, hidden areas included.
    pub(crate) fn erase_all(&mut self, content: u8) {
        let block = vec![content; self.medium.block_bytes()];
        self.fill(0, self.capacity.real, &block);
    }

    /// A lost power supply: what is volatile by the standards goes back.
    pub(crate) fn power_cycle(&mut self) {
        self.capacity.visible = self.capacity.persistent;
        self.set_max.frozen = false;
        self.set_max.locked = self.set_max.password.is_some();
        self.set_max.amax_frozen = false;
        self.dco.frozen = false;
        self.security.frozen = false;
        self.security.erase_prepared = false;
        self.security.locked = self.security.user.is_some();
        self.sanitize.frozen = false;
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hasher = ShaHasher(Sha256::new());
        self.hash(&mut hasher);
        hasher.0.finalize().into()
    }
}

/// Feeds `derive(Hash)` into SHA-256. The derived form writes lengths and discriminants, so equal
/// digests mean equal state; it is stable within one build, which is all a comparison needs.
pub(crate) struct ShaHasher(pub(crate) Sha256);

impl Hasher for ShaHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        super::bytes::be(&digest, 0, 8)
    }
}
