//! Many silent at once: of those of a group who should have spoken, how many have not.

use super::device::{Device, Life};
use super::groups::{Group, Groups};
use super::plan::{ClassPlan, OutagePlan};
use features::Paged;
use std::collections::HashMap;

/// What a group says about a silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vote {
    pub(crate) silent: u32,
    pub(crate) voters: u32,
    /// Those who are silent.
    pub(crate) late: Vec<u32>,
}

/// Groups that cannot have enough silent devices before a tick, by group and the longest heartbeat
/// that was asked. Derived: asking again before that would give the same.
pub(crate) type NotBefore = HashMap<(Group, u32), u32>;

impl ClassPlan {
    /// From which silence on a device has missed what it should have said. One that falls silent
    /// together with another is that late, too, when the other's time is over.
    pub(crate) fn late(&self) -> u32 {
        let missed_one = self.heartbeat.saturating_add(self.heartbeat / 4);
        let nearly_over = self.timeout.saturating_sub(self.heartbeat + self.heartbeat / 2);
        missed_one.max(nearly_over)
    }
}

/// The devices of a state of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet<'a> {
    pub(crate) devices: &'a Paged<Device>,
    /// By the class's number.
    pub(crate) classes: &'a [Option<ClassPlan>],
    pub(crate) now: u32,
    /// Nobody could be heard before.
    pub(crate) resumed: u32,
}

impl Fleet<'_> {
    /// Whether so many of a group are silent that it is one fault. Those whose heartbeat is longer than
    /// that of the device whose time is over have not had to speak; those that were told already fell
    /// silent for themselves.
    pub(crate) fn is_out(
        &self,
        groups: &Groups,
        group: Group,
        heartbeat: u32,
        plan: OutagePlan,
        not_before: &mut NotBefore,
    ) -> Option<Vote> {
        if not_before.get(&(group, heartbeat)).is_some_and(|tick| self.now < *tick) {
            return None;
        }
        let mut vote = Vote { silent: 0, voters: 0, late: Vec::new() };
        let mut late_at = Vec::new();
        groups.each(group, self.devices.len() as u32, |slot| {
            let Some(device) = self.devices.get(slot as usize) else { return };
            let class = self.classes.get(usize::from(device.class)).copied().flatten();
            let Some(class) = class.filter(|class| class.heartbeat <= heartbeat) else { return };
            if matches!(device.life(), Life::New | Life::Silent) {
                return;
            }
            vote.voters += 1;
            let from = device.seen.max(self.resumed).saturating_add(class.late());
            if from <= self.now {
                vote.silent += 1;
                vote.late.push(slot);
            } else {
                late_at.push(from);
            }
        });
        let wanted = (u64::from(vote.voters) * plan.share).div_ceil(10_000);
        let wanted = wanted.max(u64::from(plan.at_least));
        if u64::from(vote.silent) >= wanted {
            return Some(vote);
        }
        // The tick at which the last one that is wanted would be late if none spoke until then, or at
        // which one that has not been heard yet could be.
        let missing = (wanted - u64::from(vote.silent)) as usize;
        let classes = self.classes.iter().flatten().filter(|class| class.heartbeat <= heartbeat);
        let newcomer = self.now.saturating_add(classes.map(ClassPlan::late).min().unwrap_or(1));
        let tick = if late_at.len() < missing {
            newcomer
        } else {
            newcomer.min(*late_at.select_nth_unstable(missing - 1).1)
        };
        not_before.insert((group, heartbeat), tick);
        None
    }
}
