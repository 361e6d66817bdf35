//! Cluster chains: from a head descriptor to the clusters of its recording, in order.
//!
//! Facts: `docs/formats/dahua.md` sections 1.4, 5 and 7. A chain is followed by its next pointers as long as each cluster names the same
//! head. Where a descriptor is damaged, the head number and the place that every continuation carries are enough to go on; clusters
//! that an older recording left behind under the same head number are told apart by date and by their links.

use std::collections::HashSet;

use daleel_core::{CivilTime, Extent, Reason};

use super::{
    layout::{Descriptor, DescriptorType},
    partition::Partition,
    time::decode_date,
};

/// The clusters of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Clusters in order, the head first.
    pub clusters: Vec<u32>,
    /// Sectors used in the last cluster; `None` when nothing on the disk tells.
    pub last_sectors: Option<u32>,
    /// True when the index contradicts itself somewhere.
    pub conflict: bool,
    /// What was noticed and what was done about it.
    pub reasons: Vec<Reason>,
}

/// Follows and mends the chain of one head.
struct Follower<'a> {
    partition: &'a Partition,
    head: u32,
    /// The number that continuations name: the head's own.
    id: u32,
    channel: u8,
    begin: Option<CivilTime>,
    end: Option<CivilTime>,
    visited: HashSet<u32>,
    /// Place of the chain's last cluster; more than its index where clusters are missing.
    place: u16,
    /// Continuations that the head counts.
    stated: u16,
    chain: Chain,
}

impl Chain {
    /// Follows the chain of the head descriptor of cluster `head`.
    pub fn follow(partition: &Partition, head: u32, descriptor: &Descriptor) -> Self {
        let id = identity(partition, head, descriptor);
        let begin = decode_date(descriptor.begin.get());
        let end = decode_date(descriptor.end.get()).filter(|end| Some(*end) > begin);
        let mut follower = Follower {
            partition,
            head,
            id,
            channel: descriptor.channel & 0x0F,
            begin,
            end,
            visited: HashSet::from([head]),
            place: 0,
            stated: descriptor.count.get(),
            chain: Self {
                clusters: vec![head],
                last_sectors: None,
                conflict: false,
                reasons: Vec::new(),
            },
        };
        if descriptor.head.get() != head {
            follower.conflict(
                head,
                format!(
                    "the head says its own number is {}, its place says {head}",
                    descriptor.head.get()
                ),
            );
        }
        follower.run(descriptor);
        follower.close(descriptor);
        follower.chain
    }

    /// Bytes of the stream: whole clusters but the last.
    pub fn bytes(&self, cluster_bytes: u64) -> u64 {
        let whole = (self.clusters.len() as u64).saturating_sub(1).saturating_mul(cluster_bytes);
        whole.saturating_add(
            self.last_sectors
                .map_or(cluster_bytes, |sectors| u64::from(sectors).saturating_mul(512)),
        )
    }
}

/// The number under which continuations know this head: its cluster, or, where its own-number field is the one that is right by the
/// continuations, that field.
fn identity(partition: &Partition, head: u32, descriptor: &Descriptor) -> u32 {
    let stated = descriptor.head.get();
    if stated == head {
        return head;
    }
    let next = descriptor.next_cluster().and_then(|next| partition.descriptor(next));
    match next {
        Some(next) if next.head.get() == stated && next.previous.get() == head => stated,
        _ => head,
    }
}

impl Follower<'_> {
    fn conflict(&mut self, cluster: u32, text: String) {
        self.chain.conflict = true;
        let at = self.partition.descriptor_extent(cluster);
        self.chain.reasons.push(Reason::against(text, at));
    }

    fn mended(&mut self, cluster: u32, text: String) {
        let at = self.partition.descriptor_extent(cluster);
        self.chain.reasons.push(Reason::supporting(text, at));
    }

    fn last(&self) -> u32 {
        self.chain.clusters.last().copied().unwrap_or(self.head)
    }

    fn push(&mut self, cluster: u32, place: u16) {
        self.visited.insert(cluster);
        self.chain.clusters.push(cluster);
        self.place = place;
    }

    /// Appends clusters until the chain ends. Each turn appends a cluster that was not visited, or ends.
    fn run(&mut self, head: &Descriptor) {
        let stated = self.stated;
        let mut pointer = head.next_cluster();
        while let Some(place) = self.place.checked_add(1) {
            if let Some(next) = pointer.and_then(|next| self.linked(next, place)) {
                self.push(next, place);
                pointer = self.partition.descriptor(next).and_then(Descriptor::next_cluster);
                continue;
            }
            if pointer.is_none() && place > stated {
                break;
            }
            if place > stated && !self.plausible_member_exists(place) {
                // The stated length is reached; a stray pointer behind it is only worth a note.
                if let Some(next) = pointer {
                    self.conflict(
                        self.last(),
                        format!(
                            "the last cluster points on to {next}, which is not of this recording"
                        ),
                    );
                }
                break;
            }
            match self.mend(pointer, place) {
                Some(next) => pointer = next,
                None => break,
            }
        }
    }

    /// The cluster a pointer leads to, if it is the next one of this recording.
    fn linked(&mut self, next: u32, place: u16) -> Option<u32> {
        let descriptor = self.partition.descriptor(next)?;
        if descriptor.descriptor_type() != DescriptorType::Continuation
            || self.visited.contains(&next)
        {
            return None;
        }
        if descriptor.head.get() != self.id {
            // Linked both ways, at the right place and of the same channel: its head field is the one that is wrong.
            let agrees = descriptor.count.get() == place
                && descriptor.previous.get() == self.last()
                && descriptor.channel & 0x0F == self.channel;
            if !agrees {
                return None;
            }
            let found = descriptor.head.get();
            self.conflict(
                next,
                format!("names head {found}, expected {}; its links and its place fit", self.id),
            );
        }
        // A link that is not answered, or leads on behind the stated count, may be left over from an older recording.
        let is_answered = descriptor.previous.get() == self.last() && place <= self.stated;
        if !is_answered && !self.belongs(next) {
            return None;
        }
        if descriptor.count.get() != place {
            // A pointer that jumps ahead or back within the chain is a damaged pointer if the right cluster is known.
            if self.members_at(place).next().is_some() {
                return None;
            }
            let found = descriptor.count.get();
            self.conflict(next, format!("place in the chain is {found}, expected {place}"));
        }
        if descriptor.channel & 0x0F != self.channel {
            self.conflict(
                next,
                format!(
                    "channel byte is {:02x}, the head's low half is {:x}",
                    descriptor.channel, self.channel
                ),
            );
        }
        if descriptor.previous.get() != self.last() {
            let found = descriptor.previous.get();
            self.conflict(
                next,
                format!("points back to cluster {found}, expected {}", self.last()),
            );
        }
        Some(next)
    }

    fn members_at(&self, place: u16) -> impl Iterator<Item = u32> {
        self.partition
            .members(self.id, place)
            .take_while(move |(at, _)| *at == place)
            .map(|(_, cluster)| cluster)
            .filter(|cluster| self.belongs(*cluster))
    }

    fn plausible_member_exists(&self, place: u16) -> bool {
        self.members_at(place).next().is_some()
    }

    /// True when a continuation that names this head is of this recording and not left behind by an older one: same channel,
    /// not used yet, dated inside the recording, or linked to its last cluster where the recording has no usable end.
    fn belongs(&self, cluster: u32) -> bool {
        // Under another number than its own a head follows answered links only: many heads could claim the same clusters.
        if self.id != self.head {
            return false;
        }
        let Some(descriptor) = self.partition.descriptor(cluster) else { return false };
        if self.visited.contains(&cluster) || descriptor.channel & 0x0F != self.channel {
            return false;
        }
        let begin = decode_date(descriptor.begin.get());
        match (self.begin, self.end) {
            (Some(from), Some(to)) => begin.is_some_and(|at| at >= from && at <= to),
            _ => descriptor.previous.get() == self.last() && begin >= self.begin,
        }
    }

    /// The chain is broken at `place`: finds the cluster by what the others say of it. Gives the pointer to go on with.
    fn mend(&mut self, pointer: Option<u32>, place: u16) -> Option<Option<u32>> {
        if let Some(member) = self.best_member(place) {
            self.note_break(pointer, place);
            self.mended(
                member,
                format!(
                    "cluster {member} names head {} and place {place}: the chain goes on there",
                    self.id
                ),
            );
            self.push(member, place);
            return Some(self.partition.descriptor(member).and_then(Descriptor::next_cluster));
        }
        if let Some((damaged, after)) = self.bridge(pointer, place) {
            self.note_break(pointer, place);
            self.mended(
                after,
                format!("the descriptor of cluster {damaged} is damaged; cluster {after}, place {}, points back to it", place.saturating_add(1)),
            );
            self.push(damaged, place);
            return Some(Some(after));
        }
        if let Some(last) = self.named_last(pointer, place) {
            self.note_break(pointer, place);
            self.mended(
                self.last(),
                format!("the descriptor of cluster {last} is damaged; the cluster before it points to it and the head counts it"),
            );
            self.push(last, place);
            return None;
        }
        let later =
            self.partition.members(self.id, place).find(|(_, cluster)| self.belongs(*cluster));
        self.note_break(pointer, place);
        let (at, cluster) = later?;
        let missing = at.saturating_sub(place);
        self.conflict(
            cluster,
            format!("{missing} clusters in front of cluster {cluster} are not to be found"),
        );
        self.push(cluster, at);
        Some(self.partition.descriptor(cluster).and_then(Descriptor::next_cluster))
    }

    fn note_break(&mut self, pointer: Option<u32>, place: u16) {
        let last = self.last();
        match pointer {
            Some(next) => self.conflict(
                last,
                format!(
                    "points on to cluster {next}, which is not place {place} of recording {}",
                    self.id
                ),
            ),
            None => self.conflict(
                last,
                format!("the chain ends before place {place}, which the head counts"),
            ),
        }
    }

    /// Of several clusters with the same head and place, the one that points back to the chain's last cluster.
    fn best_member(&self, place: u16) -> Option<u32> {
        let linked = self.members_at(place).find(|cluster| {
            self.partition.descriptor(*cluster).is_some_and(|d| d.previous.get() == self.last())
        });
        linked.or_else(|| self.members_at(place).next())
    }

    /// A cluster whose own descriptor is damaged, named by the one behind it: `(damaged, behind)`.
    fn bridge(&self, pointer: Option<u32>, place: u16) -> Option<(u32, u32)> {
        let after = self.members_at(place.checked_add(1)?).next()?;
        let named = self.partition.descriptor(after)?.previous.get();
        (self.is_ownerless(named)
            && pointer.is_none_or(|next| next == named || !self.is_ownerless(next)))
        .then_some((named, after))
    }

    /// The last cluster of the recording when its own descriptor is damaged.
    fn named_last(&self, pointer: Option<u32>, place: u16) -> Option<u32> {
        let counted = self.partition.descriptor(self.head)?.count.get();
        pointer.filter(|next| place == counted && self.is_ownerless(*next))
    }

    /// True when a cluster exists, holds data, and no usable descriptor claims it.
    fn is_ownerless(&self, cluster: u32) -> bool {
        let geometry = &self.partition.geometry;
        if cluster < geometry.reserved_clusters
            || cluster >= geometry.cluster_count
            || self.visited.contains(&cluster)
        {
            return false;
        }
        self.partition.descriptor(cluster).is_none_or(|descriptor| {
            matches!(descriptor.descriptor_type(), DescriptorType::Free | DescriptorType::Other(_))
        })
    }

    /// Compares with what the head states and settles how much of the last cluster is used.
    fn close(&mut self, head: &Descriptor) {
        let found = self.chain.clusters.len().saturating_sub(1);
        let stated = usize::from(self.stated);
        if found != stated {
            self.conflict(
                self.head,
                format!("the head counts {stated} continuations, {found} were found; what was found is used"),
            );
        }
        let spc = self.partition.geometry.cluster_sectors;
        let usable = |sectors: u32| (1..=spc).contains(&sectors).then_some(sectors);
        let last = self.partition.descriptor(self.last());
        let in_last = last.map(|d| d.last_sectors.get()).and_then(usable);
        let in_head = usable(head.last_sectors.get());
        // The head speaks of the recording's real last cluster, not of one where the chain broke off.
        let ends_itself = last.is_some_and(|d| d.next_cluster().is_none());
        let at_stated_end = usize::from(self.place) == stated;
        let copies_agree = self.last() != self.head && in_head.is_some() && in_head == in_last;
        let is_real_last = at_stated_end || (found > stated && ends_itself) || copies_agree;
        self.chain.last_sectors = in_head.or(in_last).filter(|_| is_real_last);
        let taken = match self.chain.last_sectors {
            Some(sectors) => format!("{sectors} are taken, from the last continuation"),
            None => "the last cluster is read to its end".to_owned(),
        };
        if in_head.is_none() {
            let stated = head.last_sectors.get();
            let text = format!(
                "sectors used in the last cluster is {stated}, expected 1 to {spc}; {taken}"
            );
            self.chain.reasons.push(Reason::against(text, self.field(0x10)));
        }
    }

    fn field(&self, offset: u64) -> Extent {
        let at = self.partition.descriptor_extent(self.head);
        at.slice(offset, 4).unwrap_or(at)
    }
}
