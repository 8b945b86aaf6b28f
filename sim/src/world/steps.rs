//! Steps of scripts, carried out.

use std::time::{Duration, Instant};

use super::World;
use super::leasing;
use super::network::Happening;
use super::records::PauseRecord;
use super::script::{Action, Cut, Fault};
use crate::rng::mix;

impl Action {
    /// Whether the client does it, and so not while it does not run.
    pub(crate) fn is_clients(&self) -> bool {
        matches!(
            self,
            Self::Start(..) | Self::Watch(_) | Self::Lease(_) | Self::AskProgress(_) | Self::SetEndpoints(_)
        )
    }
}

impl World {
    /// Plans the first step; each plans the next.
    pub(crate) fn begin(&mut self) {
        for (index, step) in self.script.steps.iter().enumerate() {
            self.queue.push(self.start + step.at, Happening::Step(index));
        }
    }

    pub(crate) fn step(&mut self, index: usize) {
        let step = self.script.steps[index].clone();
        if !matches!(step.action, Action::Start(..) | Action::Watch(_)) {
            self.trace.add(self.since_start(), &step.action);
        }
        if let Action::Pause(lasting) = step.action {
            self.trouble_until(self.now + lasting);
        }
        match &step.action {
            Action::Cut(member, _) | Action::GoAway(member, _) => self.trouble_at(Some(*member)),
            Action::Fault(fault, ..) if !leasing::is_of_cluster(*fault) => {}
            Action::Start(..)
            | Action::Watch(_)
            | Action::AskProgress(_)
            | Action::Lease(_)
            | Action::Backup
            | Action::Compact(_) => {}
            _ => self.trouble_at(None),
        }
        match step.action {
            Action::Start(request, options) => self.start(step.id, request, &options),
            Action::Watch(plan) => self.watch(step.id, &plan),
            Action::AskProgress(number) => self.ask_watch(number),
            Action::Lease(plan) => self.lease(step.id, plan),
            Action::DenyRenewals(slot) => self.deny_renewals(slot),
            Action::RevokeLease(slot) => self.revoke_lease(slot),
            Action::SetEndpoints(set) => self.set_endpoints(set),
            Action::Pause(lasting) => self.pause(self.now + lasting),
            Action::Fault(fault, member, lasting) => {
                if member < self.script.setup.members {
                    self.queue.push(self.now + lasting, Happening::Mend(index));
                    self.afflict(fault, member, self.now + lasting);
                }
            }
            Action::Cut(member, cut) => self.break_lines(member, cut),
            Action::GoAway(member, slack) => self.go_away(member, slack),
            Action::MoveLeader(member) => {
                if member < self.script.setup.members {
                    self.cluster.set_leader(self.now, Some(member));
                }
            }
            Action::Compact(back) => {
                let revision = self.cluster.committed_revision() - i64::from(back);
                self.cluster.compact(self.now, revision);
            }
            Action::Backup => self.backup = Some(self.cluster.backup()),
            Action::Restore { other } => {
                if let Some(backup) = self.backup.take() {
                    for place in 0..self.script.setup.members {
                        self.break_lines(place, Cut::Mixed);
                    }
                    self.look_at_truth();
                    let id = mix(&[self.script.seed, 8, u64::from(step.id)]);
                    self.cluster.restore(self.now, &backup, other.then_some(id));
                    self.backup = Some(backup);
                    self.ledger.update(&self.cluster);
                    self.look_at_truth();
                }
            }
        }
        self.collect();
    }

    fn pause(&mut self, until: Instant) {
        self.pauses.push(PauseRecord { from: self.now, until });
        self.asleep = self.asleep.max(Some(until));
    }

    fn afflict(&mut self, fault: Fault, member: usize, until: Instant) {
        self.trouble_at(Some(member));
        self.faults.push((fault, member, until));
        match fault {
            Fault::Kill => {
                if !self.cluster.is_proxied() {
                    self.break_lines(member, Cut::Mixed);
                }
                self.cluster.kill(self.now, member);
            }
            Fault::Isolate => self.cluster.isolate(self.now, member, true),
            Fault::Lag(by) => self.cluster.set_lag(self.now, member, by),
            Fault::NoLeader => self.cluster.set_leader(self.now, None),
            Fault::NotCapable => self.cluster.set_capable(member, false),
            _ => {}
        }
    }

    pub(crate) fn mend(&mut self, index: usize) {
        let Action::Fault(fault, member, _) = self.script.steps[index].action else { return };
        let now = self.now;
        self.trouble_at(Some(member));
        if leasing::is_of_cluster(fault) {
            self.trouble_at(None);
        }
        self.faults.retain(|(_, _, until)| *until > now);
        self.trace.add(self.since_start(), &("mended", fault, member));
        let remains =
            |same: fn(Fault) -> bool| self.faults.iter().any(|(f, at, _)| *at == member && same(*f));
        match fault {
            Fault::Kill if !remains(|f| f == Fault::Kill) => self.cluster.start(now, member),
            Fault::Isolate if !remains(|f| f == Fault::Isolate) => self.cluster.isolate(now, member, false),
            Fault::Lag(_) if !remains(|f| matches!(f, Fault::Lag(_))) => {
                self.cluster.set_lag(now, member, Duration::ZERO);
            }
            Fault::NotCapable if !remains(|f| f == Fault::NotCapable) => {
                self.cluster.set_capable(member, true)
            }
            Fault::NoLeader if !self.faults.iter().any(|(f, ..)| *f == Fault::NoLeader) => {
                self.cluster.set_leader(now, Some(member));
            }
            _ => {}
        }
        self.collect();
    }
}
