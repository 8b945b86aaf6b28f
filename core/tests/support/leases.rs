//! Leases: what was asked for, and answers to it.

use std::time::Duration;

use etcdium_core::{CallKey, Event, KeeperKey, LeaseId, LeaseState, OnDrop};
use etcdium_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest,
};
use etcdium_proto::{StreamMethod, UnaryRequest};
use prost::Message;

use super::*;

pub(crate) fn lease_id(id: i64) -> LeaseId {
    LeaseId::new(id).unwrap()
}

impl World {
    /// Begins to keep a lease alive.
    pub(crate) fn keep(&mut self, id: i64) -> KeeperKey {
        let keeper = self.core.keep_alive(self.now, lease_id(id), &within(s(10)));
        self.drain();
        keeper
    }

    /// Keeps a lease alive whose first renewal was answered.
    pub(crate) fn kept(&mut self, id: i64, ttl: i64) -> KeeperKey {
        let keeper = self.keep(id);
        let call = self.renewals_of(id).pop().expect("a renewal");
        self.renew(call, id, ttl);
        self.core.started(keeper).expect("a beginning").unwrap();
        keeper
    }

    pub(crate) fn grant(&mut self, ttl: Duration, options: &CallOptions) -> KeeperKey {
        let keeper = self.core.lease(self.now, ttl, None, options);
        self.drain();
        keeper
    }

    pub(crate) fn release(&mut self, keeper: KeeperKey, then: OnDrop) {
        self.core.release(self.now, keeper, then);
        self.drain();
    }

    pub(crate) fn state(&self, keeper: KeeperKey) -> Option<LeaseState> {
        self.core.keeper_state(keeper, self.now)
    }

    /// Until when the lease is said to live, after now; `None` if it is not said to be well.
    pub(crate) fn alive(&self, keeper: KeeperKey) -> Option<Duration> {
        match self.state(keeper) {
            Some(LeaseState::Alive { until }) => Some(until - self.now),
            _ => None,
        }
    }

    /// Whether the next change of the lease was told; then the one after that is waited for.
    pub(crate) fn changed(&mut self, keeper: KeeperKey) -> bool {
        let told = self.events.contains(&Event::KeeperChanged(keeper));
        self.events.retain(|event| *event != Event::KeeperChanged(keeper));
        self.core.await_keeper(keeper);
        told
    }

    /// Open streams of renewals, oldest first.
    pub(crate) fn renewals(&self) -> Vec<CallKey> {
        self.calls_of(streams_path())
    }

    /// Open streams on which this lease was asked for, oldest first.
    pub(crate) fn renewals_of(&self, id: i64) -> Vec<CallKey> {
        self.renewals().into_iter().filter(|call| self.asked(*call).contains(&id)).collect()
    }

    /// Open calls of a method, oldest first.
    pub(crate) fn calls_of(&self, path: &str) -> Vec<CallKey> {
        let of = self.calls.iter().filter(|(_, open)| open.method.path() == path);
        of.map(|(call, _)| *call).collect()
    }

    pub(crate) fn grants(&self) -> Vec<CallKey> {
        self.calls_of(LeaseGrantRequest::METHOD.path())
    }

    pub(crate) fn revocations(&self) -> Vec<CallKey> {
        self.calls_of(LeaseRevokeRequest::METHOD.path())
    }

    /// The request of a grant.
    pub(crate) fn granting(&self, call: CallKey) -> LeaseGrantRequest {
        self.request(call)
    }

    /// The first message of a call.
    pub(crate) fn request<M: Message + Default>(&self, call: CallKey) -> M {
        let open = self.opened.iter().find(|open| open.call == call).expect("a call");
        M::decode(open.message.slice(5..)).unwrap()
    }

    /// What was asked for on a stream of renewals, in order.
    pub(crate) fn asked(&self, call: CallKey) -> Vec<i64> {
        let first: LeaseKeepAliveRequest = self.request(call);
        let more = self.sent.get(&call).into_iter().flatten();
        let more = more.map(|message| LeaseKeepAliveRequest::decode(message.slice(5..)).unwrap().id);
        core::iter::once(first.id).chain(more).collect()
    }

    /// How often a lease was asked for in all.
    pub(crate) fn times_asked(&self, id: i64) -> usize {
        let all = self.opened.iter().filter(|open| open.method.path() == streams_path());
        all.flat_map(|open| self.asked(open.call)).filter(|asked| *asked == id).count()
    }

    /// Answers a renewal.
    pub(crate) fn renew(&mut self, call: CallKey, id: i64, ttl: i64) {
        self.head(call);
        let response = LeaseKeepAliveResponse { header: header(CLUSTER, 1), id, ttl };
        self.data(call, framed(&response));
    }

    /// Answers a grant as it was asked for.
    pub(crate) fn answer_grant(&mut self, call: CallKey) {
        let LeaseGrantRequest { id, ttl } = self.granting(call);
        let response = LeaseGrantResponse { header: header(CLUSTER, 1), id, ttl, error: String::new() };
        self.answer(call, &response);
    }
}

fn streams_path() -> &'static str {
    etcdium_proto::streams::LeaseKeepAlive::METHOD.path()
}
