//! How slow and how nasty a simulated machine is.

use std::time::Duration;

use crate::rng::Rng;

/// A span of times, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The shortest.
    pub from: Duration,
    /// The longest.
    pub to: Duration,
}

impl Range {
    /// No time.
    pub const ZERO: Self = Self { from: Duration::ZERO, to: Duration::ZERO };

    /// From so many microseconds to so many.
    pub const fn micros(from: u64, to: u64) -> Self {
        Self { from: Duration::from_micros(from), to: Duration::from_micros(to) }
    }

    /// A time of it, in nanoseconds.
    pub(super) fn draw(self, rng: &mut Rng) -> u64 {
        // Centuries fit.
        let (from, to) = (self.from.as_nanos() as u64, self.to.as_nanos() as u64);
        from + if to > from { rng.below(to - from + 1) } else { 0 }
    }
}

/// When clients learn what became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reactor {
    /// At once, as where sockets are simply tried (async-io).
    Eager,
    /// When nobody has anything to do, or after so many polls of tasks; a socket or timer is not ready before (tokio).
    Every(u32),
}

/// Chances are of 1,000.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// How long a byte travels.
    pub latency: Range,
    /// How many bytes a connection holds in each direction before the writer has to wait.
    pub buffer: usize,
    /// The chance that a read or write moves only some of the bytes it could.
    pub partial: u64,
    /// What a poll of a client's task costs.
    pub poll_cost: Range,
    /// What a read or write of a client costs.
    pub io_cost: Range,
    /// The chance that a client's read, write or timer is pending for no reason, and wakes at once or right after the
    /// poll.
    pub spurious: u64,
    /// The chance, after each poll of a client's task, that the client's processor stops for a while.
    pub pause: u64,
    /// How long it stops.
    pub pauses: Range,
    /// Whether tasks are polled in the order they were woken, and not in any.
    pub in_order: bool,
    /// When clients learn what became ready.
    pub reactor: Reactor,
    /// What [`Runtime::yields_to_callers`](etcdium_client::Runtime::yields_to_callers) says.
    pub yields: bool,
}

impl Default for Profile {
    /// A fast client near its servers: 50 to 200 µs of latency, 64 KiB of buffer, nothing nasty.
    fn default() -> Self {
        Self {
            latency: Range::micros(50, 200),
            buffer: 64 * 1024,
            partial: 0,
            poll_cost: Range::ZERO,
            io_cost: Range::ZERO,
            spurious: 0,
            pause: 0,
            pauses: Range::ZERO,
            in_order: false,
            reactor: Reactor::Eager,
            yields: false,
        }
    }
}

impl Profile {
    /// Some profile, drawn from a seed: anything from the default to a client slowed by its machine, with small buffers
    /// and all that is legal for a runtime. The client's processor never stops in it.
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x70_726f_6669_6c65);
        let mut pick = |choices: &[u64]| choices[rng.below(choices.len() as u64) as usize];
        let cost = pick(&[0, 5, 50, 500, 5_000]);
        Self {
            latency: Range::micros(pick(&[1, 50, 1_000]), pick(&[1_000, 2_000, 20_000])),
            buffer: pick(&[64, 1_000, 10_000, 65_536, 1 << 20]) as usize,
            partial: pick(&[0, 0, 100, 500]),
            poll_cost: Range::micros(cost / 5, cost),
            io_cost: Range::micros(0, cost / 5),
            spurious: pick(&[0, 0, 50, 300]),
            pause: 0,
            pauses: Range::ZERO,
            in_order: pick(&[0, 1]) == 0,
            reactor: match pick(&[0, 0, 1, 61]) {
                0 => Reactor::Eager,
                polls => Reactor::Every(polls as u32),
            },
            yields: pick(&[0, 1]) == 0,
        }
    }
}
