//! What happens when, drawn from a seed.

use std::num::NonZeroU64;
use std::time::Duration;

use etcdium_sim::rng::Rng;

/// What is done to one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blow {
    /// SIGKILL, and a start on the same data to heal it.
    Kill,
    /// SIGSTOP, and SIGCONT to heal it.
    Freeze,
    /// Its clients are reset and refused.
    Disconnect,
    /// Nothing gets through between it and its clients, and what is sent is lost.
    Blackhole,
    /// Nothing gets through from it to its clients.
    Mute,
    /// Its clients' connections are reset, once. There is nothing to heal.
    Reset,
    /// A connection of its clients is cut after some more bytes to the client, once. There is nothing to heal.
    Cut(u64),
    /// Everything between it and its clients takes longer.
    Slow(Duration),
    /// Its clients get few bytes per second.
    Narrow(NonZeroU64),
}

impl Blow {
    /// Whether the member cannot be part of a quorum until it is healed.
    pub const fn takes_member(self) -> bool {
        matches!(self, Self::Kill | Self::Freeze)
    }

    /// Whether the member is of no use to clients until it is healed.
    pub const fn takes_endpoint(self) -> bool {
        matches!(self, Self::Kill | Self::Freeze | Self::Disconnect | Self::Blackhole | Self::Mute)
    }

    /// Whether it is over at once.
    pub const fn is_brief(self) -> bool {
        matches!(self, Self::Reset | Self::Cut(_))
    }
}

/// A blow that a member has not been healed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wound {
    /// Which member, by its place in the cluster.
    pub member: usize,
    /// What was done to it.
    pub blow: Blow,
}

/// One step of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait.
    Wait(Duration),
    /// Do this to a member that has no wound.
    Strike(Wound),
    /// Heal this one.
    Heal(Wound),
}

/// An endless sequence of steps; equal seeds give equal ones.
///
/// A member has one wound at a time. As a rule a quorum stays, and one endpoint that works; now and then more is taken,
/// for at most [`Schedule::LOSS`] together with the time that the steps themselves take.
#[derive(Clone, Debug)]
pub struct Schedule {
    rng: Rng,
    members: usize,
    wounds: Vec<Wound>,
    /// The quorum, or the last endpoint, is gone.
    lost: bool,
    /// A wait comes before everything else.
    rest: bool,
}

impl Schedule {
    /// The longest time without a quorum or a working endpoint, in waits.
    pub const LOSS: Duration = Duration::from_secs(2);

    /// For a cluster of so many members.
    pub fn new(seed: u64, members: usize) -> Self {
        Self { rng: Rng::new(seed), members, wounds: Vec::new(), lost: false, rest: false }
    }

    /// What is wrong after the steps so far.
    pub fn wounds(&self) -> &[Wound] {
        &self.wounds
    }

    fn next_step(&mut self) -> Step {
        self.rest = !self.rest;
        if self.rest {
            let longest = if self.lost { Self::LOSS } else { Duration::from_secs(4) };
            return Step::Wait(self.rng.between(Duration::from_millis(100), longest));
        }
        // After a loss everything is healed, one by one and without a rest.
        if self.lost || self.wounds.len() == self.members || (!self.wounds.is_empty() && self.rng.chance(500))
        {
            let index = self.rng.index(self.wounds.len());
            let wound = self.wounds.swap_remove(index);
            self.lost &= !self.wounds.is_empty();
            self.rest = self.lost;
            return Step::Heal(wound);
        }
        let whole: Vec<usize> = (0..self.members).filter(|member| !self.is_wounded(*member)).collect();
        let member = *self.rng.pick(&whole);
        let mut wound = Wound { member, blow: self.draw() };
        if self.would_lose(wound.blow) && !self.rng.chance(150) {
            wound.blow = Blow::Reset;
        }
        self.lost = self.would_lose(wound.blow);
        if !wound.blow.is_brief() {
            self.wounds.push(wound);
        }
        Step::Strike(wound)
    }

    fn is_wounded(&self, member: usize) -> bool {
        self.wounds.iter().any(|wound| wound.member == member)
    }

    /// Whether this, too, would leave no quorum or no endpoint.
    fn would_lose(&self, blow: Blow) -> bool {
        let count = |takes: fn(Blow) -> bool| {
            self.wounds.iter().filter(|wound| takes(wound.blow)).count() + usize::from(takes(blow))
        };
        let quorum = self.members / 2 + 1;
        self.members - count(Blow::takes_member) < quorum || count(Blow::takes_endpoint) >= self.members
    }

    fn draw(&mut self) -> Blow {
        match self.rng.below(9) {
            0 => Blow::Kill,
            1 => Blow::Freeze,
            2 => Blow::Disconnect,
            3 => Blow::Blackhole,
            4 => Blow::Mute,
            5 => Blow::Reset,
            6 => Blow::Cut(self.rng.below(20_000)),
            7 => Blow::Slow(self.rng.between(Duration::from_millis(1), Duration::from_millis(150))),
            _ => Blow::Narrow(NonZeroU64::MIN.saturating_add(5_000 + self.rng.below(500_000))),
        }
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        Some(self.next_step())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_decides() {
        let steps = |seed| Schedule::new(seed, 3).take(200).collect::<Vec<_>>();
        assert_eq!(steps(1), steps(1));
        assert_ne!(steps(1), steps(2));
    }

    #[test]
    fn losses_are_rare_and_short_and_everything_happens() {
        let (mut kinds, mut losses) = (BTreeSet::new(), 0);
        for seed in 0..50 {
            let mut wounds: Vec<Wound> = Vec::new();
            let mut without = Duration::ZERO;
            for step in Schedule::new(seed, 3).take(500) {
                let taken = |takes: fn(Blow) -> bool| wounds.iter().filter(|w| takes(w.blow)).count();
                let lost = taken(Blow::takes_member) > 1 || taken(Blow::takes_endpoint) > 2;
                match step {
                    Step::Wait(time) if lost => {
                        without += time;
                        assert!(without <= Schedule::LOSS, "seed {seed}: {without:?}");
                    }
                    Step::Wait(_) => without = Duration::ZERO,
                    Step::Strike(wound) => {
                        assert!(!lost && wounds.iter().all(|known| known.member != wound.member));
                        kinds.insert(format!("{:?}", wound.blow).split('(').next().unwrap().to_owned());
                        if !wound.blow.is_brief() {
                            wounds.push(wound);
                        }
                    }
                    Step::Heal(wound) => {
                        losses += usize::from(lost && without > Duration::ZERO);
                        let index = wounds.iter().position(|known| *known == wound).unwrap();
                        wounds.swap_remove(index);
                    }
                }
            }
        }
        assert_eq!(kinds.len(), 9, "{kinds:?}");
        assert!((50..5000).contains(&losses), "{losses}");
    }
}
