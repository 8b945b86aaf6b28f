//! Calls: opening, messages, ends (v3rpc/interceptor.go).

use std::time::Instant;

use bytes::Bytes;
use prost::Message;

use super::{Call, Cluster, Stage, Timer};
use crate::model::lease::KeepAlive;
use crate::model::rpc::Rpc;
use crate::model::status::{DEADLINE_EXCEEDED, NO_LEADER, NOT_CAPABLE, NOT_SUPPORTED_FOR_LEARNER};
use crate::model::{CallId, CallStart, Status};

/// What grpc-go allows above the largest request (config.go, `MaxRequestBytesWithOverhead`).
const MESSAGE_OVERHEAD: usize = 512 * 1024;

/// Who asks whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) call: CallId,
    pub(crate) member: usize,
}

impl Cluster {
    /// A call begins. To a member that is down nothing is answered: the network has to tell the client.
    pub fn open(&mut self, now: Instant, start: CallStart<'_>) {
        let now = self.advance(now);
        let CallStart { call, member, path, require_leader, timeout } = start;
        if !self.is_up(member) {
            return;
        }
        let rpc = match Rpc::find(path, self.config.version) {
            Ok(rpc) => rpc,
            Err(status) => return self.end(call, status),
        };
        let deadline = timeout.and_then(|timeout| now.checked_add(timeout));
        let stage = match rpc {
            Rpc::LeaseKeepAlive => Stage::KeepAlive(KeepAlive::default()),
            rpc => Stage::Request(rpc),
        };
        self.calls.insert(call, Call { member, require_leader, deadline, stage });
        if let Some(deadline) = deadline {
            self.timers.insert(deadline, Timer::Deadline(call));
        }
        // Unary calls are judged when their message is there.
        if rpc.is_stream() {
            if let Err(status) = self.intercept(member, require_leader, false) {
                return self.end(call, status);
            }
        }
        if rpc == Rpc::Watch {
            self.open_watch(now, call);
        }
    }

    /// The client sends a message, without gRPC's five bytes before it.
    pub fn message(&mut self, now: Instant, call: CallId, message: Bytes) {
        let now = self.advance(now);
        let Some(known) = self.calls.get(&call) else { return };
        let (max, received) = (self.config.max_request_bytes.saturating_add(MESSAGE_OVERHEAD), message.len());
        if received > max {
            let text = format!("grpc: received message larger than max ({received} vs. {max})");
            return self.end(call, Status::resource_exhausted(text));
        }
        let asked = Asked { call, member: known.member };
        match known.stage {
            Stage::Request(rpc) => self.dispatch(now, asked, rpc, message),
            Stage::Watch => self.watch_request(now, asked.member, call, message),
            // A unary call has one message; grpc-go does not look at more.
            Stage::KeepAlive(_) => self.keep_alive_message(now, asked, message),
            Stage::Proposed { .. } | Stage::Blocked | Stage::Reading(_) | Stage::TimeToLive { .. } => {}
        }
    }

    /// The client will send no more.
    pub fn finish(&mut self, now: Instant, call: CallId) {
        let now = self.advance(now);
        let Some(known) = self.calls.get(&call) else { return };
        let asked = Asked { call, member: known.member };
        match known.stage {
            Stage::Request(_) => self.end(call, Status::internal("unexpected EOF")),
            Stage::KeepAlive(_) => self.keep_alive_finish(now, asked),
            _ => {}
        }
    }

    /// The client has reset the call, or its connection is gone. What was proposed stays proposed.
    pub fn cancel(&mut self, now: Instant, call: CallId) {
        self.advance(now);
        self.forget(call);
        self.blocked.retain(|blocked| blocked.call != call);
    }

    /// Decodes a request; ends the call if that fails.
    pub(crate) fn decode<M: Message + Default>(&mut self, call: CallId, message: Bytes) -> Option<M> {
        match M::decode(message) {
            Ok(message) => Some(message),
            Err(error) => {
                let text = format!("grpc: error unmarshalling request: {error}");
                self.end(call, Status::internal(text));
                None
            }
        }
    }

    /// Refuses what this member does not answer now. `local`: a learner answers it too.
    pub(crate) fn intercept(&self, member: usize, require_leader: bool, local: bool) -> Result<(), Status> {
        let Some(known) = self.members.get(member) else { return Err(NOT_CAPABLE) };
        if !known.capable {
            return Err(NOT_CAPABLE);
        }
        if known.learner && !local {
            return Err(NOT_SUPPORTED_FOR_LEARNER);
        }
        if require_leader && self.leader_of(member).is_none() {
            return Err(NO_LEADER);
        }
        Ok(())
    }

    /// The client's deadline has passed. It knows that itself; what it is told here it rarely sees.
    pub(super) fn deadline(&mut self, call: CallId) {
        if self.calls.contains_key(&call) {
            self.blocked.retain(|blocked| blocked.call != call);
            self.end(call, DEADLINE_EXCEEDED);
        }
    }

    pub(crate) fn requires_leader(&self, call: CallId) -> bool {
        self.calls.get(&call).is_some_and(|call| call.require_leader)
    }

    pub(crate) fn stage(&mut self, call: CallId, stage: Stage) {
        if let Some(known) = self.calls.get_mut(&call) {
            known.stage = stage;
        }
    }
}
