//! Hikvision disks that were damaged after writing, or whose trees differ.

use super::hikvision::{boxed, day, disk, intact, recording};
use super::{Plan, Scenario};
use crate::footage::Footage;
use crate::hikvision::TreeShape;
use crate::hikvision::disk::{
    CutAt, Damage, DiskPlan, KeyEdit, Node, TreeChange, TreeEdit, Variants,
};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "hikvision-master-gone",
        summary: "the primary master is zeroed, the backup is there",
        plan: |seed| damaged(seed, vec![Damage::Master(0)]),
    },
    Scenario {
        name: "hikvision-both-masters-gone",
        summary: "both masters are zeroed, the trees are there",
        plan: |seed| damaged(seed, vec![Damage::Master(0), Damage::Master(1)]),
    },
    Scenario {
        name: "hikvision-tree1-gone",
        summary: "the first copy of the tree is zeroed",
        plan: |seed| damaged(seed, vec![Damage::Tree(1)]),
    },
    Scenario {
        name: "hikvision-tree2-gone",
        summary: "the second copy of the tree is zeroed",
        plan: |seed| damaged(seed, vec![Damage::Tree(2)]),
    },
    Scenario {
        name: "hikvision-both-trees-gone",
        summary: "both copies of the tree are zeroed; nothing is listed",
        plan: |seed| damaged(seed, vec![Damage::Tree(1), Damage::Tree(2)]),
    },
    Scenario {
        name: "hikvision-tree-page-gone",
        summary: "a leaf is zeroed in one copy, another in both, and the root of the first copy",
        plan: tree_page_gone,
    },
    Scenario {
        name: "hikvision-trees-differ",
        summary: "an entry open in one copy and closed in the other, two in one copy only",
        plan: trees_differ,
    },
    Scenario {
        name: "hikvision-log-gone",
        summary: "both log areas are zeroed",
        plan: |seed| damaged(seed, vec![Damage::Logs]),
    },
    Scenario {
        name: "hikvision-truncated",
        summary: "the image ends in the last used block: both trees are missing",
        plan: |seed| damaged(seed, vec![Damage::Truncate(CutAt::Block(10, 300_000))]),
    },
    Scenario {
        name: "hikvision-truncated-trees",
        summary: "the image ends behind the last block: both trees are missing",
        plan: |seed| damaged(seed, vec![Damage::Truncate(CutAt::BeforeTrees)]),
    },
    Scenario {
        name: "hikvision-truncated-second-tree",
        summary: "the image ends in the second copy of the tree",
        plan: |seed| damaged(seed, vec![Damage::Truncate(CutAt::SecondTree)]),
    },
    Scenario {
        name: "hikvision-ofni-damaged",
        summary: "records of the key-frame index zeroed, without signature, or with wrong values",
        plan: ofni_damaged,
    },
    Scenario {
        name: "hikvision-all-damage",
        summary: "masters, first tree, a page of the second, logs, packs and key-frame index",
        plan: all_damage,
    },
];

fn damaged(seed: u64, damage: Vec<Damage>) -> Plan {
    boxed(DiskPlan { damage, ..intact(seed) })
}

/// Small leaves, so that a small disk has several.
fn small_leaves(seed: u64) -> DiskPlan {
    let tree = TreeShape { leaf_fill: 4, ..TreeShape::FIRST };
    DiskPlan { variants: Variants { tree, ..Variants::FIRST }, ..intact(seed) }
}

fn tree_page_gone(seed: u64) -> Plan {
    let node = |tree, node| Damage::TreeNode { tree, node };
    let damage = vec![
        node(1, Node::Leaf(0)),
        node(1, Node::Leaf(1)),
        node(2, Node::Leaf(1)),
        node(1, Node::Root),
    ];
    boxed(DiskPlan { damage, ..small_leaves(seed) })
}

fn trees_differ(seed: u64) -> Plan {
    let recordings = vec![
        recording(1, Footage::Cam1, day(8, 0, 0), 400, &[0], seed),
        recording(2, Footage::Cam5, day(8, 0, 0), 400, &[1], seed),
        recording(3, Footage::Cam3, day(8, 10, 0), 400, &[2], seed),
        recording(4, Footage::Cam6, day(8, 20, 0), 400, &[3], seed),
    ];
    let edit = |tree, recording, change| TreeEdit { tree, recording, change };
    let tree_edits = vec![
        edit(2, 1, TreeChange::Open),
        edit(2, 2, TreeChange::Absent),
        edit(1, 3, TreeChange::Absent),
    ];
    boxed(DiskPlan { tree_edits, ..disk(6, recordings) })
}

fn ofni_damaged(seed: u64) -> Plan {
    let keys = |recording, every, edit| Damage::Keys { recording, every, edit };
    let damage = vec![
        keys(0, 3, KeyEdit::Zero),
        keys(1, 2, KeyEdit::Signature),
        keys(2, 4, KeyEdit::Offset(0xFFFF_FF00)),
        keys(3, 1, KeyEdit::Offset(0x1234)),
        keys(4, 2, KeyEdit::Time(40_000_000)),
    ];
    damaged(seed, damage)
}

fn all_damage(seed: u64) -> Plan {
    let garbage = |recording, frame, bytes| Damage::Garbage { recording, frame, bytes };
    let damage = vec![
        Damage::Master(0),
        Damage::Master(1),
        Damage::Tree(1),
        Damage::TreeNode { tree: 2, node: Node::Header },
        Damage::TreeNode { tree: 2, node: Node::Leaf(1) },
        Damage::Logs,
        garbage(0, 500, 30_000),
        garbage(2, 700, 4000),
        garbage(4, 30, 200),
        Damage::Keys { recording: 1, every: 2, edit: KeyEdit::Zero },
    ];
    let mut plan = small_leaves(seed);
    plan.recordings[4].open = true;
    boxed(DiskPlan { damage, ..plan })
}
