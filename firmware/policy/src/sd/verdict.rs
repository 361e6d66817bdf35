//! The published tables' verdict on a card command, for both buses and all kinds of card.
//!
//! Facts: the published policy, sections 1.3, 7 and 7.1. Where a table holds a condition, it is data that is interpreted here, so
//! dropping one changes the verdict.
//!
//! How the rows are found: `policy-sub.csv` has its layer `sd` for the command table, which SD cards and eMMC share, `spi` for commands
//! whose rules come from SPI mode, and `emmc` where eMMC differs. So an eMMC command is looked up in `emmc` and, when it has no
//! rows there, with the others; a decision GUARD or SUB without a matching row is NEVER.

use crate::tables::{
    CardBus, CardKind, CardRow, Condition, Decision, Policy, Profile, SubLayer, SubRow,
};

/// How a card is connected, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardLink {
    /// SD card in SPI mode. MMC over SPI is not supported (7.3).
    Spi {
        /// Whether the card has proved that it checks CRCs (7.2).
        crc_checked: bool,
    },
    /// SD card in SD mode, which always checks CRCs.
    Sd,
    /// eMMC, which always checks CRCs.
    Emmc,
}

/// An application command that is announced by CMD55.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Application {
    /// Its index.
    pub index: u8,
    /// Its argument.
    pub argument: u32,
}

/// What is known about the session when a command is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdState {
    /// Bus and card.
    pub link: CardLink,
    /// Ultra High Speed card.
    pub uhs: bool,
    /// Ultra capacity card.
    pub sduc: bool,
    /// Profile `ident` is active.
    pub ident: bool,
    /// The plain command that the card took last.
    pub previous: Option<u8>,
    /// The application command that the driver is about to send, when CMD55 is judged.
    pub next: Option<Application>,
    /// PARTITION_CONFIG as just read, eMMC only.
    pub partition_config: Option<u8>,
}

impl SdState {
    /// An SD card in SPI mode before its first command, profile `ident` off.
    #[must_use]
    pub fn spi() -> Self {
        Self {
            link: CardLink::Spi { crc_checked: false },
            uhs: false,
            sduc: false,
            ident: false,
            previous: None,
            next: None,
            partition_config: None,
        }
    }
}

const APP_CMD: u8 = 55;

/// Whether the driver may send a command with this index and argument.
///
/// An application command must follow CMD55 at once, and only cards of the SD family have any. While one is awaited, a plain command
/// would be taken for the application command of the same index; only CMD0, CMD13 and CMD55, which are harmless either way, may
/// then be sent.
#[must_use]
pub fn may_emit(
    policy: &Policy<'_>,
    state: &SdState,
    index: u8,
    argument: u32,
    application: bool,
) -> bool {
    let awaited = state.previous == Some(APP_CMD);
    if application {
        return awaited && application_may_follow(policy, state, Application { index, argument });
    }
    if awaited && !matches!(index, 0 | 13 | APP_CMD) {
        return false;
    }
    decided(policy, state, policy.sd.get(usize::from(index)), rows(policy, state, index), argument)
}

fn application_may_follow(policy: &Policy<'_>, state: &SdState, command: Application) -> bool {
    let (_, rows) = policy.rows(SubLayer::Acmd, command.index);
    let row = policy.acmd.get(usize::from(command.index));
    state.link != CardLink::Emmc && decided(policy, state, row, rows, command.argument)
}

/// The rows of `policy-sub.csv` that refine a plain command.
fn rows<'a>(policy: &Policy<'a>, state: &SdState, index: u8) -> &'a [SubRow<'a>] {
    let layers: &[SubLayer] = match state.link {
        CardLink::Spi { .. } | CardLink::Sd => &[SubLayer::Spi, SubLayer::Sd],
        CardLink::Emmc => &[SubLayer::Emmc, SubLayer::Spi, SubLayer::Sd],
    };
    let found = layers.iter().map(|layer| policy.rows(*layer, index).1);
    found.into_iter().find(|rows| !rows.is_empty()).unwrap_or(&[])
}

fn decided(
    policy: &Policy<'_>,
    state: &SdState,
    row: Option<&CardRow>,
    rows: &[SubRow<'_>],
    argument: u32,
) -> bool {
    let Some(row) = row else { return false };
    let holds = |condition: &Condition| holds(policy, state, condition, argument);
    let active = |row: &&SubRow<'_>| {
        row.profile == Profile::Core || (row.profile == Profile::Ident && state.ident)
    };
    let matching = rows.iter().filter(active).find(|row| row.select.iter().all(holds));
    let needs_row = match row.decision {
        Decision::Emit => false,
        Decision::Guard | Decision::Sub => true,
        _ => return false,
    };
    match matching {
        Some(refined) => {
            matches!(refined.decision, Decision::Emit | Decision::Guard)
                && refined.guards.iter().all(|guard| holds(&guard.condition))
        }
        None => !needs_row,
    }
}

fn holds(policy: &Policy<'_>, state: &SdState, condition: &Condition, argument: u32) -> bool {
    match *condition {
        Condition::Argument { high, low, set } => set.contains(bits(argument, high, low)),
        Condition::ArgumentKeepsPartition { high, low, from } => {
            let top = from.saturating_add(high.saturating_sub(low));
            state.partition_config.is_some_and(|config| {
                bits(argument, high, low) == bits(u32::from(config), top, from)
            })
        }
        Condition::Bus(CardBus::Sd) => state.link == CardLink::Sd,
        Condition::Bus(CardBus::Spi) => matches!(state.link, CardLink::Spi { .. }),
        Condition::Card(CardKind::Uhs) => state.uhs,
        Condition::Card(CardKind::Sduc) => state.sduc,
        Condition::Previous(index) => state.previous == Some(index),
        Condition::NextIsApplication => {
            state.next.is_some_and(|next| application_may_follow(policy, state, next))
        }
        Condition::CrcOn => !matches!(state.link, CardLink::Spi { crc_checked: false }),
        // Conditions of other layers have no meaning for a card: a row that names one lets nothing through.
        _ => false,
    }
}

/// Bits `high` to `low`.
fn bits(value: u32, high: u8, low: u8) -> u32 {
    let width = u32::from(high.saturating_sub(low)).saturating_add(1);
    let mask = 1_u32.checked_shl(width).map_or(u32::MAX, |bit| bit.wrapping_sub(1));
    value.checked_shr(u32::from(low)).unwrap_or(0) & mask
}
