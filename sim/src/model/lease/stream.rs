//! Keep-alive streams (v3rpc/lease.go): one renewal at a time, answers in the order of requests, and any error but "not
//! found" ends the stream.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use etcdium_proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse, ResponseHeader};
use prost::Message;

use super::Ask;
use super::lessor::Timed;
use crate::model::cluster::{Asked, Stage};
use crate::model::{CallId, Cluster, Status};

/// A keep-alive stream.
#[derive(Debug, Default)]
pub(crate) struct KeepAlive {
    /// Leases to renew, in the order of asking.
    queue: VecDeque<i64>,
    /// The header of the renewal under way: as of when it began.
    renewing: Option<Option<ResponseHeader>>,
    /// The client sends no more.
    finished: bool,
}

impl Cluster {
    pub(crate) fn keep_alive_message(&mut self, now: Instant, asked: Asked, message: Bytes) {
        let Some(request) = self.decode::<LeaseKeepAliveRequest>(asked.call, message) else { return };
        if let Some(stream) = self.keep_alive(asked.call) {
            stream.queue.push_back(request.id);
            self.renew_next(now, asked);
        }
    }

    pub(crate) fn keep_alive_finish(&mut self, now: Instant, asked: Asked) {
        if let Some(stream) = self.keep_alive(asked.call) {
            stream.finished = true;
            self.renew_next(now, asked);
        }
    }

    fn keep_alive(&mut self, call: CallId) -> Option<&mut KeepAlive> {
        match &mut self.calls.get_mut(&call)?.stage {
            Stage::KeepAlive(stream) => Some(stream),
            _ => None,
        }
    }

    /// Renews one lease after the other, as far as that goes without waiting.
    fn renew_next(&mut self, now: Instant, asked: Asked) {
        let Asked { call, member } = asked;
        loop {
            let header = self.answerer(member).header();
            let Some(stream) = self.keep_alive(call) else { return };
            if stream.renewing.is_some() {
                return;
            }
            let Some(lease) = stream.queue.pop_front() else {
                if stream.finished {
                    self.end(call, Status::OK);
                }
                return;
            };
            stream.renewing = Some(header);
            let Some(answer) = self.ask(now, Ask::new(call, member, lease, true, now)) else { return };
            self.renewal_done(call, lease, answer);
        }
    }

    /// A renewal that had to wait is decided.
    pub(super) fn renewed(
        &mut self,
        now: Instant,
        call: CallId,
        lease: i64,
        answer: Result<Option<Timed>, Status>,
    ) {
        let Some(member) = self.calls.get(&call).map(|call| call.member) else { return };
        self.renewal_done(call, lease, answer);
        self.renew_next(now, Asked { call, member });
    }

    fn renewal_done(&mut self, call: CallId, lease: i64, answer: Result<Option<Timed>, Status>) {
        let header = self.keep_alive(call).and_then(|stream| stream.renewing.take()).flatten();
        match answer {
            Ok(found) => {
                let ttl = found.map_or(0, |lease| lease.ttl);
                self.send(call, LeaseKeepAliveResponse { header, id: lease, ttl }.encode_to_vec().into());
            }
            Err(status) => self.end(call, status),
        }
    }
}
