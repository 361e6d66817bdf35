//! The tables' verdict on card commands, for all 64 CMD and 64 ACMD, against an oracle written by hand from the names in the
//! standards (SD Physical Layer Simplified Specification, 4.7.4 and 7.3.1; JESD84-B51, 6.10.4), and against the published files themselves.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use wb_policy::{
    sd::{Application, CardLink, SdCommand, SdState, may_emit},
    tables::{CardRow, Decision, Guard, POLICY, Policy, SubLayer, SubRow},
};

const LINKS: [CardLink; 4] = [
    CardLink::Spi { crc_checked: false },
    CardLink::Spi { crc_checked: true },
    CardLink::Sd,
    CardLink::Emmc,
];

/// Arguments: every single bit, and the values that mean something to the command.
fn arguments(index: u8) -> Vec<u32> {
    let mut all = vec![0, 1, 2, 3, 512, 0x1AA, 0x1FF, 0x0000_FFFF, 0x0001_FFFF, u32::MAX];
    all.extend((0..32).map(|bit| 1 << bit));
    // eMMC CMD0: pre-idle and boot initiation.
    all.extend([0xF0F0_F0F0, 0xFFFF_FFFA]);
    if index != 6 {
        return all;
    }
    // SWITCH_FUNC: check, access mode 1, drive strength 1, power limit 1, and the same with a forbidden group.
    all.extend([0x00FF_FFFF, 0x80FF_FFF1, 0x80FF_F1FF, 0x80FF_1FFF, 0x80FF_FFFF, 0x81FF_FFF1]);
    all.extend([0x80FF_FF01, 0x80F0_FFF1, 0x800F_FFF1, 0x0FFF_FFF1]);
    // eMMC SWITCH: command set, set bits, clear bits, write byte, of several EXT_CSD bytes and values.
    for access in 0..4_u32 {
        for index in [0_u32, 31, 134, 162, 171, 177, 179, 183, 184, 185, 186, 187, 188, 191] {
            for value in [0_u32, 1, 8, 9, 0x48, 0x49, 0xFF] {
                all.push((access << 24) | (index << 16) | (value << 8));
            }
        }
    }
    all
}

fn states() -> Vec<SdState> {
    let mut all = Vec::new();
    for link in LINKS {
        for flags in 0..8_u8 {
            for previous in [None, Some(17), Some(18), Some(55)] {
                for partition_config in [None, Some(0x08), Some(0x48)] {
                    if partition_config.is_some() && link != CardLink::Emmc {
                        continue;
                    }
                    all.push(SdState {
                        link,
                        uhs: flags & 1 != 0,
                        sduc: flags & 2 != 0,
                        ident: flags & 4 != 0,
                        previous,
                        next: None,
                        partition_config,
                    });
                }
            }
        }
    }
    all
}

const NEXT: [Option<Application>; 8] = {
    const fn next(index: u8, argument: u32) -> Option<Application> {
        Some(Application { index, argument })
    }
    [
        None,
        next(13, 0),
        next(41, 0x4000_0000),
        next(51, 0),
        next(6, 2),
        next(6, 1),
        next(42, 1),
        next(23, 8),
    ]
};

/// What may be sent, by name. Everything that is not named here is a write, an erase, a lock, a register, a vendor's, reserved, or not needed
/// to read.
fn oracle(state: &SdState, index: u8, argument: u32) -> bool {
    let spi = matches!(state.link, CardLink::Spi { .. });
    let sd_bus = state.link == CardLink::Sd;
    let emmc = state.link == CardLink::Emmc;
    let crc = state.link != CardLink::Spi { crc_checked: false };
    // After CMD55 only what means the same to a card that awaits an application command.
    if state.previous == Some(55) && ![0, 13, 55].contains(&index) {
        return false;
    }
    match index {
        // GO_IDLE_STATE; on eMMC other arguments are pre-idle and boot.
        0 => argument == 0,
        // SEND_OP_COND, ALL_SEND_CID, SEND_RELATIVE_ADDR, SELECT_CARD.
        1 | 2 | 3 | 7 => true,
        // SWITCH_FUNC and SWITCH.
        6 if emmc => emmc_switch(state, argument),
        6 => argument >> 31 == 0 || (sd_bus && volatile_functions(argument)),
        // SEND_IF_COND or SEND_EXT_CSD, SEND_CSD, SEND_CID, SEND_STATUS.
        8 | 9 | 10 | 13 => true,
        // VOLTAGE_SWITCH, of UHS cards; on eMMC an obsolete read.
        11 => sd_bus && state.uhs,
        // STOP_TRANSMISSION.
        12 => state.previous == Some(18),
        // SET_BLOCKLEN.
        16 => argument == 512,
        // READ_SINGLE_BLOCK, READ_MULTIPLE_BLOCK.
        17 | 18 => crc,
        // SEND_TUNING_BLOCK of SD; on eMMC BUS_TEST_W, which sends data to the card.
        19 => sd_bus,
        // SEND_TUNING_BLOCK of HS200.
        21 => emmc,
        // ADDRESS_EXTENSION of SDUC.
        22 => sd_bus && state.sduc,
        // SET_BLOCK_COUNT without reliable write, tag, packed or forced programming.
        23 => argument < 0x1_0000,
        // SEND_WRITE_PROT.
        30 => state.ident,
        // APP_CMD.
        55 => state.next.is_some_and(|next| application_oracle(state, next.index, next.argument)),
        // READ_OCR and CRC_ON_OFF of SPI; in SD mode they access extension registers.
        58 => spi && argument == 0,
        59 => spi && argument == 1,
        _ => false,
    }
}

/// Function groups 2, 5 and 6 stay as they are, reserved bits are zero.
fn volatile_functions(argument: u32) -> bool {
    let group = |number: u32| (argument >> (4 * (number - 1))) & 0xF;
    argument >> 24 == 0x80 && group(2) == 0xF && group(5) == 0xF && group(6) == 0xF
}

/// Write a byte of BUS_WIDTH, HS_TIMING or POWER_CLASS; or of PARTITION_CONFIG with the partition to access only.
fn emmc_switch(state: &SdState, argument: u32) -> bool {
    let access = (argument >> 24) & 3;
    let index = (argument >> 16) & 0xFF;
    let value = (argument >> 8) & 0xFF;
    let partition = state.partition_config.is_some_and(|now| value >> 3 == u32::from(now) >> 3);
    access == 3 && (matches!(index, 183 | 185 | 187) || (index == 179 && partition))
}

/// SET_BUS_WIDTH, SD_STATUS, SD_SEND_OP_COND, SET_CLR_CARD_DETECT (off), SEND_SCR.
fn application_oracle(state: &SdState, index: u8, argument: u32) -> bool {
    match index {
        _ if state.link == CardLink::Emmc => false,
        6 => state.link == CardLink::Sd && (argument == 0 || argument == 2),
        13 | 41 | 51 => true,
        42 => argument & 1 == 0,
        _ => false,
    }
}

/// First combination in which the policy and the oracle disagree, among the commands `plain` and application commands `applications`.
fn disagreement(policy: &Policy<'_>, plain: &[u8], applications: &[u8]) -> Option<String> {
    let states = states();
    for index in plain {
        let nexts: &[_] = if *index == 55 { &NEXT } else { &NEXT[..1] };
        for argument in arguments(*index) {
            for (state, next) in
                states.iter().flat_map(|state| nexts.iter().map(move |next| (state, next)))
            {
                let state = SdState { next: *next, ..*state };
                if may_emit(policy, &state, *index, argument, false)
                    != oracle(&state, *index, argument)
                {
                    return Some(format!("CMD{index} {argument:08x} {state:?}"));
                }
            }
        }
    }
    for index in applications {
        for argument in arguments(*index) {
            for state in &states {
                let expected =
                    state.previous == Some(55) && application_oracle(state, *index, argument);
                if may_emit(policy, state, *index, argument, true) != expected {
                    return Some(format!("ACMD{index} {argument:08x} {state:?}"));
                }
            }
        }
    }
    None
}

/// Conformance test 1, policy 7: all 64 CMD and all 64 ACMD, both buses, SD and eMMC.
#[test]
fn verdict_is_the_oracles_for_all_commands() {
    let all: Vec<u8> = (0..64).collect();
    assert_eq!(disagreement(&POLICY, &all, &all), None);
    for state in states() {
        for index in 64..=255 {
            assert!(!may_emit(&POLICY, &state, index, 0, false));
            assert!(!may_emit(&POLICY, &state, index, 0, true));
        }
    }
}

/// AM-01, policy 7: no command that writes, erases, locks, protects or programs by its name is ever let through, whatever the argument.
#[test]
fn nothing_that_modifies_by_its_name_is_let_through() {
    let sd = [
        (4, "SET_DSR"),
        (15, "GO_INACTIVE_STATE"),
        (20, "SPEED_CLASS_CONTROL"),
        (24, "WRITE_BLOCK"),
        (25, "WRITE_MULTIPLE_BLOCK"),
        (26, "manufacturer: PROGRAM_CID"),
        (27, "PROGRAM_CSD"),
        (28, "SET_WRITE_PROT"),
        (29, "CLR_WRITE_PROT"),
        (32, "ERASE_WR_BLK_START"),
        (33, "ERASE_WR_BLK_END"),
        (34, "function"),
        (35, "function"),
        (36, "function"),
        (37, "function"),
        (38, "ERASE"),
        (40, "DPS"),
        (42, "LOCK_UNLOCK"),
        (43, "Q_MANAGEMENT"),
        (44, "Q_TASK_INFO_A"),
        (45, "Q_TASK_INFO_B"),
        (46, "Q_RD_TASK"),
        (47, "Q_WR_TASK"),
        (49, "WRITE_EXTR_SINGLE"),
        (52, "IO_RW_DIRECT"),
        (53, "IO_RW_EXTENDED"),
        (56, "GEN_CMD"),
        (60, "vendor"),
        (61, "vendor"),
        (62, "vendor"),
        (63, "vendor"),
    ];
    let emmc = [
        (4, "SET_DSR"),
        (5, "SLEEP_AWAKE"),
        (15, "GO_INACTIVE_STATE"),
        (19, "BUS_TEST_W"),
        (20, "WRITE_DAT_UNTIL_STOP"),
        (24, "WRITE_BLOCK"),
        (25, "WRITE_MULTIPLE_BLOCK"),
        (26, "PROGRAM_CID"),
        (27, "PROGRAM_CSD"),
        (28, "SET_WRITE_PROT"),
        (29, "CLR_WRITE_PROT"),
        (35, "ERASE_GROUP_START"),
        (36, "ERASE_GROUP_END"),
        (38, "ERASE"),
        (39, "FAST_IO"),
        (42, "LOCK_UNLOCK"),
        (44, "QUEUED_TASK_PARAMS"),
        (45, "QUEUED_TASK_ADDRESS"),
        (46, "EXECUTE_READ_TASK"),
        (47, "EXECUTE_WRITE_TASK"),
        (48, "CMDQ_TASK_MGMT"),
        (54, "PROTOCOL_WR"),
        (56, "GEN_CMD"),
        (60, "vendor"),
        (61, "vendor"),
        (62, "vendor"),
        (63, "vendor"),
    ];
    let applications = [
        (14, "DPS"),
        (15, "DPS"),
        (16, "DPS"),
        (18, "SECURE_READ_MULTI_BLOCK"),
        (23, "SET_WR_BLK_ERASE_COUNT"),
        (25, "SECURE_WRITE_MULTI_BLOCK"),
        (26, "SECURE_WRITE_MKB"),
        (38, "SECURE_ERASE"),
        (43, "GET_MKB"),
        (44, "GET_MID"),
        (45, "SET_CER_RN1"),
        (46, "GET_CER_RN2"),
        (47, "SET_CER_RES2"),
        (48, "GET_CER_RES1"),
        (49, "CHANGE_SECURE_AREA"),
    ];
    for state in states() {
        let plain: &[(u8, &str)] = if state.link == CardLink::Emmc { &emmc } else { &sd };
        for (index, name) in plain {
            for argument in arguments(*index) {
                assert!(!may_emit(&POLICY, &state, *index, argument, false), "{name}");
            }
        }
        for (index, name) in &applications {
            for argument in arguments(*index) {
                assert!(!may_emit(&POLICY, &state, *index, argument, true), "{name}");
            }
        }
    }
}

/// Rows of a published file: number and decision, whatever the quoted fields between them.
fn decisions(file: &str) -> Vec<(u8, String)> {
    let mut rows = Vec::new();
    for line in file.lines().skip(1) {
        let mut fields = vec![String::new()];
        let mut quoted = false;
        for character in line.chars() {
            match character {
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                _ => fields.last_mut().expect("one at least").push(character),
            }
        }
        let decision = fields[fields.len() - 2].clone();
        rows.push((fields[0].parse().expect("a number"), decision));
    }
    rows
}

/// Conformance test 1: the verdict equals `policy-sdmmc.csv` and `policy-acmd.csv` as they are published: NEVER never, EMIT without further rows
/// always.
#[test]
fn verdict_equals_the_published_files() {
    let sub: Vec<&str> = include_str!("../../policy/tables/policy-sub.csv").lines().collect();
    let has_rows = |layer: &str, index: u8| {
        sub.iter().any(|line| line.starts_with(&format!("{layer},{index},")))
    };
    let plain = decisions(include_str!("../../policy/tables/policy-sdmmc.csv"));
    let applications = decisions(include_str!("../../policy/tables/policy-acmd.csv"));
    assert_eq!((plain.len(), applications.len()), (64, 64));
    for (index, decision) in &plain {
        let refined = ["sd", "emmc", "spi"].iter().any(|layer| has_rows(layer, *index));
        for (state, argument) in combinations(*index) {
            let verdict = may_emit(&POLICY, &state, *index, argument, false);
            match decision.as_str() {
                "NEVER" => assert!(!verdict, "CMD{index}"),
                "EMIT" if !refined && state.previous != Some(55) => assert!(verdict, "CMD{index}"),
                "EMIT" | "GUARD" | "SUB" => {}
                other => panic!("unknown decision {other}"),
            }
        }
    }
    for (index, decision) in &applications {
        for (state, argument) in combinations(*index) {
            let possible = state.previous == Some(55) && state.link != CardLink::Emmc;
            let verdict = may_emit(&POLICY, &state, *index, argument, true);
            match decision.as_str() {
                "NEVER" => assert!(!verdict, "ACMD{index}"),
                "EMIT" => assert_eq!(verdict, possible, "ACMD{index}"),
                "GUARD" => {}
                other => panic!("unknown decision {other}"),
            }
        }
    }
}

fn combinations(index: u8) -> impl Iterator<Item = (SdState, u32)> {
    let arguments = arguments(index);
    states()
        .into_iter()
        .flat_map(move |state| arguments.clone().into_iter().map(move |argument| (state, argument)))
}

/// Conformance test 6: any NEVER row turned into EMIT is seen.
#[test]
fn every_never_row_turned_into_emit_is_seen() {
    let mut turned = 0;
    for index in 0..64_u8 {
        let place = usize::from(index);
        if POLICY.sd[place].decision == Decision::Never {
            let mut rows = POLICY.sd.to_vec();
            rows[place] = CardRow { decision: Decision::Emit, ..rows[place] };
            let policy = Policy { sd: &rows, ..POLICY };
            assert!(disagreement(&policy, &[index], &[]).is_some(), "CMD{index}");
            turned += 1;
        }
        if POLICY.acmd[place].decision == Decision::Never {
            let mut rows = POLICY.acmd.to_vec();
            rows[place] = CardRow { decision: Decision::Emit, ..rows[place] };
            let policy = Policy { acmd: &rows, ..POLICY };
            assert!(disagreement(&policy, &[], &[index]).is_some(), "ACMD{index}");
            turned += 1;
        }
    }
    assert_eq!(turned, 41 + 59);
}

/// Conformance test 6: any EMIT, GUARD or SUB row turned into NEVER is seen: each of them lets something through.
#[test]
fn every_row_that_lets_through_turned_into_never_is_seen() {
    let (mut emit, mut refined) = (0, 0);
    for index in 0..64_u8 {
        let place = usize::from(index);
        let never = |row: CardRow| CardRow { decision: Decision::Never, ..row };
        for (row, is_application) in [(POLICY.sd[place], false), (POLICY.acmd[place], true)] {
            let (mut sd, mut acmd) = (POLICY.sd.to_vec(), POLICY.acmd.to_vec());
            match row.decision {
                Decision::Never => continue,
                Decision::Emit => emit += 1,
                Decision::Guard | Decision::Sub => refined += 1,
                other => panic!("{other:?} in a card table"),
            }
            let turned = if is_application {
                acmd[place] = never(row);
                disagreement(&Policy { acmd: &acmd, ..POLICY }, &[], &[index])
            } else {
                sd[place] = never(row);
                disagreement(&Policy { sd: &sd, ..POLICY }, &[index], &[])
            };
            assert!(turned.is_some(), "{index}, application command: {is_application}");
        }
    }
    assert_eq!((emit, refined), (18, 10));
}

/// Conformance test 6: the same for the rows of `policy-sub.csv`.
#[test]
fn every_refinement_that_lets_through_turned_into_never_is_seen() {
    let (mut emit, mut guard) = (0, 0);
    for (place, row) in POLICY.sub.iter().enumerate().filter(|(_, row)| is_of_cards(row)) {
        match row.decision {
            Decision::Never => continue,
            Decision::Emit => emit += 1,
            Decision::Guard => guard += 1,
            other => panic!("{other:?} in a row about cards"),
        }
        assert!(is_seen(place, SubRow { decision: Decision::Never, ..*row }), "{row:?}");
    }
    assert_eq!((emit, guard), (8, 12));
}

/// Policy 7.2 and 7.3: each command that the driver can send hangs on its row. With NEVER there, and with none other changed, it may not be
/// sent.
#[test]
fn each_command_of_the_driver_hangs_on_its_row() {
    let mut plain: Vec<u8> = Vec::new();
    let mut applications: Vec<u8> = Vec::new();
    for (state, command) in run() {
        let (index, argument) = (command.index(), command.argument());
        let is_application = command.is_application();
        let list = if is_application { &mut applications } else { &mut plain };
        if !list.contains(&index) {
            list.push(index);
        }
        let (mut sd, mut acmd) = (POLICY.sd.to_vec(), POLICY.acmd.to_vec());
        let own = if is_application { &mut acmd } else { &mut sd };
        own[usize::from(index)].decision = Decision::Never;
        let policy = Policy { sd: &sd, acmd: &acmd, ..POLICY };
        assert!(may_emit(&POLICY, &state, index, argument, is_application), "{command:?}");
        assert!(!may_emit(&policy, &state, index, argument, is_application), "{command:?}");
    }
    assert_eq!(plain, [0, 8, 59, 58, 55, 9, 10, 16, 13, 17, 18, 12]);
    assert_eq!(applications, [41, 13, 51]);
}

/// The commands of the driver from power-up to the end of a read, each with the state in which it is sent.
fn run() -> Vec<(SdState, SdCommand)> {
    let before = SdState::spi();
    let after = SdState { link: CardLink::Spi { crc_checked: true }, ..before };
    let mut all: Vec<_> = [
        SdCommand::GoIdle,
        SdCommand::SendInterfaceCondition,
        SdCommand::CrcOn,
        SdCommand::ReadOcr,
    ]
    .map(|command| (before, command))
    .into();
    let announced = |command: SdCommand| {
        let next = Application { index: command.index(), argument: command.argument() };
        let waits = SdState { previous: Some(55), ..after };
        [(SdState { next: Some(next), ..after }, SdCommand::Application), (waits, command)]
    };
    all.extend(announced(SdCommand::SendOperatingCondition { high_capacity: true }));
    all.extend(
        [SdCommand::SendCsd, SdCommand::SendCid, SdCommand::SetBlockLength, SdCommand::SendStatus]
            .map(|command| (after, command)),
    );
    all.extend(announced(SdCommand::SdStatus));
    all.extend(announced(SdCommand::SendScr));
    let range = wb_policy::geometry::Geometry { blocks: 100, block_bytes: 512 }
        .range(9, 2)
        .expect("within");
    let (first, _) = range.split(1);
    all.extend([first, range].map(|range| (after, SdCommand::read(&range, true).expect("fits"))));
    all.push((SdState { previous: Some(18), ..after }, SdCommand::StopTransmission));
    all
}

fn is_of_cards(row: &SubRow<'_>) -> bool {
    matches!(row.layer, SubLayer::Sd | SubLayer::Emmc | SubLayer::Spi | SubLayer::Acmd)
}

/// Whether a change of one row of `policy-sub.csv` is seen.
fn is_seen(place: usize, row: SubRow<'_>) -> bool {
    let mut rows = POLICY.sub.to_vec();
    rows[place] = row;
    let policy = Policy { sub: &rows, ..POLICY };
    if row.layer == SubLayer::Acmd {
        disagreement(&policy, &[], &[row.code]).is_some()
    } else {
        disagreement(&policy, &[row.code], &[]).is_some()
    }
}

/// Conformance test 6: every guard term that is dropped is seen, and every NEVER row of `policy-sub.csv` that is turned. So is every selector
/// term but one: `arg[31]=1` of SWITCH_FUNC stands behind the row for `arg[31]=0` and changes nothing.
#[test]
fn every_dropped_term_of_a_card_row_is_seen() {
    let (mut guards, mut terms, mut turned) = (0, 0, 0);
    for (place, row) in POLICY.sub.iter().enumerate().filter(|(_, row)| is_of_cards(row)) {
        for dropped in 0..row.guards.len() {
            let mut left: Vec<Guard> = row.guards.to_vec();
            left.remove(dropped);
            assert!(is_seen(place, SubRow { guards: &left, ..*row }), "{row:?}");
            guards += 1;
        }
        for dropped in 0..row.select.len() {
            let mut left = row.select.to_vec();
            left.remove(dropped);
            terms += usize::from(is_seen(place, SubRow { select: &left, ..*row }));
        }
        if row.decision == Decision::Never {
            assert!(is_seen(place, SubRow { decision: Decision::Guard, ..*row }), "{row:?}");
            turned += 1;
        }
    }
    assert_eq!((guards, terms, turned), (21, 8, 2));
}

/// Policy 7.2 and 7.3: whatever the driver can send is let through by the tables in the state in which it sends it, and reads only once
/// the CRC has been checked.
#[test]
fn tables_let_the_driver_through() {
    let before = SdState::spi();
    let after = SdState { link: CardLink::Spi { crc_checked: true }, ..before };
    let allows = |state: &SdState, command: SdCommand| {
        may_emit(&POLICY, state, command.index(), command.argument(), command.is_application())
    };
    let range = wb_policy::geometry::Geometry { blocks: 100, block_bytes: 512 }
        .range(9, 2)
        .expect("within");
    let (first, _) = range.split(1);
    let reads = [first, range].map(|range| SdCommand::read(&range, true).expect("fits"));
    for command in
        [SdCommand::GoIdle, SdCommand::SendInterfaceCondition, SdCommand::CrcOn, SdCommand::ReadOcr]
    {
        assert!(allows(&before, command), "{command:?}");
    }
    for command in reads {
        assert!(!allows(&before, command), "{command:?}");
        assert!(allows(&after, command), "{command:?}");
    }
    for command in
        [SdCommand::SendCsd, SdCommand::SendCid, SdCommand::SetBlockLength, SdCommand::SendStatus]
    {
        assert!(allows(&after, command), "{command:?}");
    }
    for command in [
        SdCommand::SdStatus,
        SdCommand::SendScr,
        SdCommand::SendOperatingCondition { high_capacity: true },
        SdCommand::SendOperatingCondition { high_capacity: false },
    ] {
        let next = Application { index: command.index(), argument: command.argument() };
        assert!(!allows(&after, command), "{command:?}");
        assert!(allows(&SdState { next: Some(next), ..after }, SdCommand::Application));
        assert!(allows(&SdState { previous: Some(55), ..after }, command), "{command:?}");
    }
    assert!(!allows(&after, SdCommand::Application));
    assert!(!allows(&after, SdCommand::StopTransmission));
    assert!(allows(&SdState { previous: Some(18), ..after }, SdCommand::StopTransmission));
}
