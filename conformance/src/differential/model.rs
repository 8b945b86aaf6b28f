//! The model's side.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdium_sim::model::{CallId, CallStart, Cluster, ClusterConfig, Disorder, Output, Version};

use super::answer::{Answer, Identity, Kind, join};
use super::operation::STREAMS;

/// A call that takes longer than this, on the model's own clock, never ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// A model and its open calls. Its clock is the real one, moved forward wherever the real server needs time.
#[derive(Debug)]
pub(super) struct Model {
    cluster: Cluster,
    ahead: Duration,
    calls: u64,
    streams: [Option<CallId>; STREAMS],
    open: BTreeMap<CallId, (Kind, Vec<Answer>)>,
    identity: Identity,
}

impl Model {
    pub(super) fn new(version: Version) -> Self {
        Self::with(ClusterConfig { version, election_timeout: super::ELECTION, ..Default::default() })
    }

    /// One whose watch streams have much to do, so that what may come in another order does.
    pub(super) fn busy(version: Version) -> Self {
        let watch_disorder =
            Disorder { send_delay: Duration::from_millis(1), shuffle: true, ..Default::default() };
        Self::with(ClusterConfig { version, watch_disorder, ..Default::default() })
    }

    fn with(config: ClusterConfig) -> Self {
        Self {
            cluster: Cluster::new(config, Instant::now(), 1),
            ahead: Duration::ZERO,
            calls: 0,
            streams: [None; STREAMS],
            open: BTreeMap::new(),
            identity: Identity::default(),
        }
    }

    fn now(&self) -> Instant {
        Instant::now() + self.ahead
    }

    fn start(&mut self, kind: Kind) -> CallId {
        self.calls += 1;
        let call = CallId(self.calls);
        self.open.insert(call, (kind, Vec::new()));
        let start = CallStart { call, member: 0, path: kind.path(), require_leader: false, timeout: None };
        self.cluster.open(self.now(), start);
        call
    }

    /// Collects what the model says.
    fn drain(&mut self) {
        while let Some(output) = self.cluster.poll_output() {
            let (call, said) = match output {
                Output::Message { call, message } => (call, Ok(message)),
                Output::End { call, status } => (call, Err(status)),
            };
            if let Some((kind, answers)) = self.open.get_mut(&call) {
                answers.push(said.map_or_else(Answer::Status, |message| kind.read(&message, &self.identity)));
            }
        }
    }

    /// Lets this time pass, timer by timer.
    pub(super) fn advance(&mut self, time: Duration) {
        let end = self.now() + time;
        while let Some(due) = self.cluster.poll_timeout().filter(|due| *due <= end) {
            self.cluster.handle_timeout(due);
            self.drain();
        }
        self.ahead += time;
        self.cluster.handle_timeout(end);
        self.drain();
    }

    pub(super) fn unary(&mut self, kind: Kind, message: &Bytes) -> Answer {
        let call = self.start(kind);
        self.cluster.message(self.now(), call, message.clone());
        self.cluster.finish(self.now(), call);
        self.drain();
        let mut waited = Duration::ZERO;
        loop {
            let answers = self.open.get(&call).map_or(&[][..], |(_, answers)| answers);
            let answer = match answers {
                [.., Answer::Status(status)] if !status.is_ok() => Some(Answer::Status(status.clone())),
                [answers @ .., Answer::Status(_)] => Some(join(answers.to_vec())),
                _ if waited >= PATIENCE => Some(Answer::Garbage("no answer".to_owned())),
                _ => None,
            };
            if let Some(answer) = answer {
                self.open.remove(&call);
                return answer;
            }
            self.advance(Duration::from_millis(100));
            waited += Duration::from_millis(100);
        }
    }

    pub(super) fn is_open(&self, stream: usize) -> bool {
        self.streams[stream].is_some()
    }

    /// Sends on a stream, opening it if need be.
    pub(super) fn send(&mut self, stream: usize, kind: Kind, message: Bytes) {
        let call = match self.streams[stream] {
            Some(call) => call,
            None => self.start(kind),
        };
        self.streams[stream] = Some(call);
        self.cluster.message(self.now(), call, message);
        self.drain();
    }

    pub(super) fn finish(&mut self, stream: usize) {
        if let Some(call) = self.streams[stream] {
            self.cluster.finish(self.now(), call);
            self.drain();
        }
    }

    pub(super) fn cancel(&mut self, stream: usize) {
        if let Some(call) = self.streams[stream].take() {
            self.cluster.cancel(self.now(), call);
            self.drain();
            self.open.remove(&call);
        }
    }

    /// What a stream has delivered since the last time.
    pub(super) fn take(&mut self, stream: usize) -> Vec<Answer> {
        let open = self.streams[stream].and_then(|call| self.open.get_mut(&call));
        open.map(|(_, answers)| std::mem::take(answers)).unwrap_or_default()
    }
}
