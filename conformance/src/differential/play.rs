//! One script against both sides.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdium_proto::etcdserverpb::watch_request::RequestUnion;
use etcdium_proto::etcdserverpb::*;
use etcdium_sim::model::{V3_6, Version, WatchRules};
use prost::Message;

use super::answer::{Answer, Kind, revision};
use super::generate::{Known, leases, operation};
use super::log::Log;
use super::model::Model;
use super::operation::{Call, Operation, STREAMS, WATCHES};
use super::real::Real;

/// How long something may take that must come.
const PATIENCE: Duration = Duration::from_secs(4);
/// The server looks for watches that are behind every 100 ms.
const CATCH_UP: Duration = Duration::from_millis(500);
/// Between two looks at whether it has.
const LOOK: Duration = Duration::from_millis(5);
/// After this a request for progress that is not answered was dropped.
const DROPPED: Duration = Duration::from_millis(60);

/// How many operations before a difference are shown.
const SHOWN: usize = 20;

/// Two answers that should be one.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The seed of the script.
    pub seed: u64,
    /// Which operation showed it, counted from 0.
    pub index: usize,
    /// The operations up to that one.
    pub script: Vec<String>,
    /// What the model said.
    pub model: String,
    /// What the real server said.
    pub real: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, operation {}", self.seed, self.index)?;
        // Of a script that was not shortened only the end.
        for operation in self.script.iter().skip(self.script.len().saturating_sub(SHOWN)) {
            writeln!(f, "  {operation}")?;
        }
        writeln!(f, "  model: {}", self.model)?;
        write!(f, "  etcd:  {}", self.real)
    }
}

type Differ = (String, String);

/// A model and a real server with the same past.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) model: Model,
    pub(super) real: Real,
    logs: [(Log, Log); STREAMS],
    known: Known,
    /// A watch was made that may begin in the past.
    behind: bool,
    rules: WatchRules,
}

impl Pair {
    pub(super) fn new(model: Model, real: Real, version: Version) -> Self {
        let known = Known { revision: 1, compacted: 0, checks_sorting: version >= V3_6 };
        Self { model, real, logs: Default::default(), known, behind: false, rules: WatchRules::of(version) }
    }

    /// Runs those operations of a script.
    ///
    /// After a difference the two have different pasts and are of no more use.
    pub(super) fn play(&mut self, seed: u64, indices: &[usize]) -> Result<(), Box<Difference>> {
        self.clear();
        let mut script = Vec::with_capacity(indices.len());
        let mut outcome = Ok(());
        for &index in indices {
            script.push(operation(seed, index, self.known));
            outcome = script.last().map_or(Ok(()), |operation| self.operate(operation));
            if outcome.is_err() {
                break;
            }
        }
        outcome.and_then(|()| self.settle()).map_err(|(model, real)| {
            let index = indices.get(script.len().saturating_sub(1)).copied().unwrap_or_default();
            let script = script.iter().map(|operation| format!("{operation:?}")).collect();
            Box::new(Difference { seed, index, script, model, real })
        })
    }

    /// Leaves no key, lease or stream of the script before.
    fn clear(&mut self) {
        for stream in 0..STREAMS {
            self.drop_stream(stream);
        }
        let everything = Bytes::from_static(&[0]);
        let delete =
            DeleteRangeRequest { key: everything.clone(), range_end: everything, ..Default::default() };
        for id in leases() {
            self.both(&Call::Revoke(LeaseRevokeRequest { id }));
        }
        let (answer, _) = self.both(&Call::Delete(delete));
        self.learn(&answer);
    }

    fn both(&mut self, call: &Call) -> (Answer, Answer) {
        let (kind, message) = (call.kind(), call.encode());
        let real = self.real.unary(kind, &message);
        (self.model.unary(kind, &message), real)
    }

    fn learn(&mut self, answer: &Answer) {
        if let Some(revision) = revision(answer) {
            self.known.revision = revision;
        }
    }

    fn operate(&mut self, operation: &Operation) -> Result<(), Differ> {
        match operation {
            Operation::Call(call) => self.call(call),
            Operation::Brief(grant) => self.brief(grant),
            Operation::Expire { lease, key } => self.expire(*lease, key),
            Operation::Watch { stream, request } => self.watch(*stream, request),
            Operation::KeepAlive { stream, lease } => {
                let request = LeaseKeepAliveRequest { id: *lease }.encode_to_vec().into();
                self.send(*stream, Kind::KeepAlive, &request)?;
                self.follow(*stream)?;
                self.compare(*stream)
            }
            Operation::End { stream, politely } => self.end(*stream, *politely),
            Operation::Settle => self.settle(),
        }
    }

    fn call(&mut self, call: &Call) -> Result<(), Differ> {
        if let Call::Compact(_) = call {
            // What watches have not caught up with by now they lose or not by chance.
            self.catch_up()?;
            self.settle()?;
        }
        let (model, real) = self.both(call);
        same(&model, &real)?;
        self.learn(&model);
        if let (Call::Compact(request), Answer::Compact(_)) = (call, &model) {
            self.known.compacted = request.revision;
            if self.rules.compaction_drops_deletion && !request.physical {
                // Refused, but only when the first one has removed what it removes.
                let again = CompactionRequest { physical: true, ..*request };
                let (model, real) = self.both(&Call::Compact(again));
                same(&model, &real)?;
            }
        }
        Ok(())
    }

    /// Waits until no watch of the real server is behind. On a stream that does not show while there is no event for it.
    fn catch_up(&mut self) -> Result<(), Differ> {
        if !std::mem::take(&mut self.behind) {
            return Ok(());
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let behind = self.real.watches_behind().map_err(|error| lost(&error))?;
            if behind == 0 {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(("no watch is behind".to_owned(), format!("{behind} watches are behind")));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn brief(&mut self, grant: &LeaseGrantRequest) -> Result<(), Differ> {
        let (mut model, mut real) = self.both(&Call::Grant(*grant));
        let own = |answer: &mut Answer| match answer {
            Answer::Grant(response) if grant.id == 0 => std::mem::take(&mut response.id),
            _ => grant.id,
        };
        let ids = (own(&mut model), own(&mut real));
        same(&model, &real)?;
        if !matches!(model, Answer::Grant(_)) {
            return Ok(());
        }
        let revoke = |id| LeaseRevokeRequest { id }.encode_to_vec().into();
        let real = self.real.unary(Kind::Revoke, &revoke(ids.1));
        same(&self.model.unary(Kind::Revoke, &revoke(ids.0)), &real)
    }

    fn expire(&mut self, id: i64, key: &'static str) -> Result<(), Differ> {
        self.call(&Call::Grant(LeaseGrantRequest { ttl: 1, id }))?;
        self.call(&Call::Put(PutRequest { key: key.into(), lease: id, ..Default::default() }))?;
        let ask = Call::TimeToLive(LeaseTimeToLiveRequest { id, keys: true });
        let gone = |answer: &Answer| matches!(answer, Answer::TimeToLive(response) if response.ttl < 0 && response.granted_ttl == 0);
        let mut tries = 2 * PATIENCE.as_millis() / DROPPED.as_millis();
        while !gone(&self.real.unary(ask.kind(), &ask.encode())) && tries > 0 {
            tries -= 1;
            std::thread::sleep(DROPPED);
        }
        self.model.advance(2 * PATIENCE);
        self.call(&ask)?;
        self.call(&Call::Range(RangeRequest { key: key.into(), ..Default::default() }))
    }

    fn watch(&mut self, stream: usize, request: &WatchRequest) -> Result<(), Differ> {
        let message = request.encode_to_vec().into();
        match request.request_union {
            // Events that are on their way when a watch is cancelled may be lost.
            Some(RequestUnion::CancelRequest(_)) => self.settle_stream(stream)?,
            Some(RequestUnion::ProgressRequest(_)) => {
                self.settle_stream(stream)?;
                return self.progress(stream, &message);
            }
            Some(RequestUnion::CreateRequest(ref create)) if create.start_revision != 0 => {
                self.behind = true;
            }
            _ => {}
        }
        self.send(stream, Kind::Watch, &message)?;
        self.follow(stream)
    }

    /// The server drops a request for progress while a watch is behind, which does not show while nothing happens on
    /// the keys of that watch. So it is repeated until it is answered, if the model has answered.
    fn progress(&mut self, stream: usize, message: &Bytes) -> Result<(), Differ> {
        self.send(stream, Kind::Watch, message)?;
        let answers = self.model.take(stream);
        let mut tries = if answers.is_empty() { 0 } else { PATIENCE.as_millis() / DROPPED.as_millis() };
        answers.into_iter().for_each(|answer| self.logs[stream].0.add(answer));
        while tries > 0 && !self.gather(stream, DROPPED) {
            tries -= 1;
            self.real.send(stream, Kind::Watch, message).map_err(|trouble| lost(&trouble))?;
        }
        // Until the server has looked at all these requests, it may answer one with what happens next. It has when it
        // has refused this watch, whose range is empty.
        let create = WatchCreateRequest { key: "b".into(), range_end: "a".into(), ..Default::default() };
        let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        self.send(stream, Kind::Watch, &request.encode_to_vec().into())?;
        self.follow(stream)
    }

    fn send(&mut self, stream: usize, kind: Kind, message: &Bytes) -> Result<(), Differ> {
        self.model.send(stream, kind, message.clone());
        self.real.send(stream, kind, message).map_err(|trouble| lost(&trouble))
    }

    /// Waits until the real server has delivered all that the model has.
    fn follow(&mut self, stream: usize) -> Result<(), Differ> {
        if self.gather(stream, PATIENCE) { Ok(()) } else { self.compare(stream) }
    }

    /// Collects what both have delivered; false when the real server has not delivered all that the model has.
    fn gather(&mut self, stream: usize, time: Duration) -> bool {
        let (model, real) = &mut self.logs[stream];
        for answer in self.model.take(stream) {
            model.add(answer);
        }
        self.real.collect(stream, time, |answers| {
            for answer in answers {
                real.add(answer);
            }
            real.covers(model)
        })
    }

    /// Compares what a stream has delivered, and begins anew.
    fn compare(&mut self, stream: usize) -> Result<(), Differ> {
        let (model, real) = &mut self.logs[stream];
        let (model, real) = (model.cut(), real.cut());
        let ended = model.ended() || real.ended();
        if ended {
            self.drop_stream(stream);
        }
        model.differs(&real).map_or(Ok(()), Err)
    }

    fn settle_stream(&mut self, stream: usize) -> Result<(), Differ> {
        self.model.advance(CATCH_UP);
        self.follow(stream)?;
        self.compare(stream)
    }

    fn settle(&mut self) -> Result<(), Differ> {
        self.model.advance(CATCH_UP);
        for stream in 0..WATCHES {
            self.follow(stream)?;
            self.compare(stream)?;
        }
        Ok(())
    }

    fn end(&mut self, stream: usize, politely: bool) -> Result<(), Differ> {
        if !self.model.is_open(stream) {
            return Ok(());
        }
        self.settle_stream(stream)?;
        if politely && self.model.is_open(stream) {
            self.model.finish(stream);
            self.real.finish(stream).map_err(|trouble| lost(&trouble))?;
            self.follow(stream)?;
            self.compare(stream)?;
        }
        self.drop_stream(stream);
        Ok(())
    }

    fn drop_stream(&mut self, stream: usize) {
        self.model.cancel(stream);
        self.real.cancel(stream);
        self.logs[stream] = Default::default();
    }
}

fn same(model: &Answer, real: &Answer) -> Result<(), Differ> {
    if model == real { Ok(()) } else { Err((format!("{model:?}"), format!("{real:?}"))) }
}

fn lost(trouble: &impl fmt::Display) -> Differ {
    ("goes on".to_owned(), trouble.to_string())
}
