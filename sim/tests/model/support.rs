//! A client of the model that knows no network.

use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdium_proto::UnaryRequest;
use etcdium_proto::etcdserverpb::*;
use etcdium_sim::model::{CallId, CallStart, Cluster, ClusterConfig, Output, Status};
use prost::Message;

/// A cluster, its time, and what it has sent.
pub(crate) struct Rig {
    pub(crate) cluster: Cluster,
    pub(crate) now: Instant,
    next: u64,
    pub(crate) received: Vec<Output>,
}

impl Rig {
    pub(crate) fn new(config: ClusterConfig) -> Self {
        Self::seeded(config, 1)
    }

    pub(crate) fn seeded(config: ClusterConfig, seed: u64) -> Self {
        let now = Instant::now();
        Self { cluster: Cluster::new(config, now, seed), now, next: 0, received: Vec::new() }
    }

    pub(crate) fn single() -> Self {
        Self::new(ClusterConfig::default())
    }

    /// A cluster of three whose leader is member 0.
    pub(crate) fn three() -> Self {
        let mut rig = Self::new(ClusterConfig { members: 3, ..ClusterConfig::default() });
        rig.cluster.set_leader(rig.now, Some(0));
        rig
    }

    /// Lets time pass, timers included.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.cluster.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.cluster.handle_timeout(self.now);
            assert!(self.cluster.poll_timeout().is_none_or(|next| next > self.now), "the model spins");
        }
        self.now = end;
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.cluster.poll_output() {
            self.received.push(output);
        }
    }

    /// Opens a call without sending anything.
    pub(crate) fn open(&mut self, member: usize, path: &str, require_leader: bool) -> CallId {
        self.open_as(CallStart { call: CallId(0), member, path, require_leader, timeout: None })
    }

    pub(crate) fn open_with_timeout(&mut self, member: usize, path: &str, timeout: Duration) -> CallId {
        let timeout = Some(timeout);
        self.open_as(CallStart { call: CallId(0), member, path, require_leader: false, timeout })
    }

    fn open_as(&mut self, start: CallStart<'_>) -> CallId {
        self.next += 1;
        let call = CallId(self.next);
        self.cluster.open(self.now, CallStart { call, ..start });
        self.drain();
        call
    }

    pub(crate) fn send(&mut self, call: CallId, message: &impl Message) {
        self.cluster.message(self.now, call, message.encode_to_vec().into());
        self.drain();
    }

    /// Starts a unary call.
    pub(crate) fn start<R: UnaryRequest>(&mut self, member: usize, request: &R) -> CallId {
        self.start_with(member, request, false)
    }

    pub(crate) fn start_with<R: UnaryRequest>(
        &mut self,
        member: usize,
        request: &R,
        require_leader: bool,
    ) -> CallId {
        let call = self.open(member, R::METHOD.path(), require_leader);
        self.send(call, request);
        self.cluster.finish(self.now, call);
        self.drain();
        call
    }

    /// The messages of a call so far.
    pub(crate) fn messages(&self, call: CallId) -> Vec<Bytes> {
        let of_call = self.received.iter().filter_map(|output| match output {
            Output::Message { call: of, message } if *of == call => Some(message.clone()),
            _ => None,
        });
        of_call.collect()
    }

    /// How a call ended, if it did.
    pub(crate) fn status(&self, call: CallId) -> Option<Status> {
        self.received.iter().find_map(|output| match output {
            Output::End { call: of, status } if *of == call => Some(status.clone()),
            _ => None,
        })
    }

    /// The result of a unary call, if it is over.
    pub(crate) fn result<M: Message + Default>(&self, call: CallId) -> Option<Result<M, Status>> {
        let status = self.status(call)?;
        if !status.is_ok() {
            assert!(self.messages(call).is_empty(), "a message before an error");
            return Some(Err(status));
        }
        let messages = self.messages(call);
        assert_eq!(messages.len(), 1, "a unary call has one answer");
        Some(Ok(M::decode(messages[0].clone()).expect("an answer that decodes")))
    }

    /// A unary call that is answered at once.
    pub(crate) fn try_call<R: UnaryRequest>(
        &mut self,
        member: usize,
        request: &R,
    ) -> Result<R::Response, Status>
    where
        R::Response: Message + Default,
    {
        let call = self.start(member, request);
        self.result(call).expect("an answer at once")
    }

    pub(crate) fn call<R: UnaryRequest>(&mut self, request: &R) -> R::Response
    where
        R::Response: Message + Default,
    {
        self.try_call(0, request).expect("success")
    }

    pub(crate) fn put(&mut self, key: &str, value: &str) -> i64 {
        self.call(&put(key, value)).header.expect("a header").revision
    }

    pub(crate) fn get(&mut self, key: &str) -> Option<String> {
        let response = self.call(&range(key));
        response.kvs.first().map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
    }
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn put(key: &str, value: &str) -> PutRequest {
    PutRequest { key: bytes(key), value: bytes(value), ..PutRequest::default() }
}

pub(crate) fn range(key: &str) -> RangeRequest {
    RangeRequest { key: bytes(key), ..RangeRequest::default() }
}

pub(crate) fn span(key: &str, end: &str) -> RangeRequest {
    RangeRequest { range_end: bytes(end), ..range(key) }
}

pub(crate) fn delete(key: &str, end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: bytes(key), range_end: bytes(end), ..DeleteRangeRequest::default() }
}

pub(crate) fn keys(response: &RangeResponse) -> Vec<String> {
    response.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
}

pub(crate) fn compare(target: compare::CompareTarget, union: compare::TargetUnion, key: &str) -> Compare {
    Compare { key: bytes(key), target: target as i32, target_union: Some(union), ..Compare::default() }
}

pub(crate) fn op(request: request_op::Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

pub(crate) fn text(status: Status) -> (u32, String) {
    (status.code, status.message.into_owned())
}

pub(crate) const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";

impl Rig {
    /// Grants lease `id`.
    pub(crate) fn grant(&mut self, id: i64, ttl: i64) {
        self.call(&LeaseGrantRequest { id, ttl });
    }

    /// Asks on a keep-alive stream.
    pub(crate) fn renew(&mut self, call: CallId, id: i64) {
        self.send(call, &LeaseKeepAliveRequest { id });
    }

    /// The answers of a keep-alive stream so far: lease and TTL.
    pub(crate) fn renewals(&self, call: CallId) -> Vec<(i64, i64)> {
        let answers = self.messages(call).into_iter();
        answers
            .map(|message| LeaseKeepAliveResponse::decode(message).expect("an answer that decodes"))
            .map(|answer| (answer.id, answer.ttl))
            .collect()
    }
}
