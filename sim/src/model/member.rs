//! One member: how far it is, whom it can reach, who waits for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::CallId;
use super::log::Position;

/// One member.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) up: bool,
    /// When it was started last; its periodic loops count from here.
    pub(crate) started: Instant,
    pub(crate) learner: bool,
    /// When it became the leader last, since it was started.
    pub(crate) elected: Option<Instant>,
    pub(crate) capable: bool,
    pub(crate) isolated: bool,
    /// When its streams that need a leader end, if it finds none before.
    pub(crate) leaderless: Option<Instant>,
    /// It applies entries this much after their commit.
    pub(crate) lag: Duration,
    pub(crate) position: Position,
    pub(crate) reads: Reads,
}

/// The linearizable reads of a member (server/etcdserver/read).
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Those that know up to where the log must be applied, in the order of asking.
    pub(crate) confirmed: VecDeque<(u64, CallId)>,
    /// Those asking for it in vain, and until when.
    pub(crate) asking: Option<(Instant, Vec<CallId>)>,
    /// Those that ask after them.
    pub(crate) queued: Vec<CallId>,
}

impl Member {
    pub(crate) fn new(now: Instant, learner: bool, position: Position) -> Self {
        Self {
            up: true,
            started: now,
            learner,
            elected: None,
            capable: true,
            isolated: false,
            leaderless: None,
            lag: Duration::ZERO,
            position,
            reads: Reads::default(),
        }
    }
}
