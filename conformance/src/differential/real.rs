//! The real server's side.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use etcdium_sim::model::Status;

use super::answer::{Answer, Identity, Kind, join};
use super::grpc::{Connection, Stream, Trouble};
use super::operation::STREAMS;
use crate::etcd::http;

/// A connection to a real server and its open streams.
#[derive(Debug)]
pub(super) struct Real {
    address: SocketAddr,
    connection: Connection,
    streams: [Option<(Kind, Stream, bool)>; STREAMS],
    identity: Identity,
}

impl Real {
    pub(super) fn open(address: SocketAddr) -> Result<Self, Trouble> {
        let connection = Connection::open(address)?;
        Ok(Self { address, connection, streams: [const { None }; STREAMS], identity: Identity::default() })
    }

    pub(super) fn unary(&self, kind: Kind, message: &Bytes) -> Answer {
        match self.connection.unary(kind.path(), message) {
            Ok(Ok(messages)) => {
                join(messages.iter().map(|message| kind.read(message, &self.identity)).collect())
            }
            Ok(Err(status)) => Answer::Status(status),
            Err(trouble) => Answer::Garbage(trouble.to_string()),
        }
    }

    /// Sends on a stream, opening it if need be.
    pub(super) fn send(&mut self, stream: usize, kind: Kind, message: &Bytes) -> Result<(), Trouble> {
        let slot = &mut self.streams[stream];
        if slot.is_none() {
            *slot = Some((kind, self.connection.stream(kind.path())?, false));
        }
        slot.as_mut().map_or(Ok(()), |(_, stream, _)| stream.send(message))
    }

    pub(super) fn finish(&mut self, stream: usize) -> Result<(), Trouble> {
        self.streams[stream].as_mut().map_or(Ok(()), |(_, stream, _)| stream.finish())
    }

    pub(super) fn cancel(&mut self, stream: usize) {
        if let Some((_, stream, _)) = self.streams[stream].take() {
            stream.cancel();
        }
    }

    /// How many watches of the server have not caught up with its history (its gauge of "unsynced slow watchers").
    pub(super) fn watches_behind(&self) -> io::Result<u64> {
        let metrics = http::get(self.address, "/metrics")?;
        let mut lines = metrics.lines();
        let count = lines.find_map(|line| line.strip_prefix("etcd_debugging_mvcc_slow_watcher_total "));
        let count = count.and_then(|count| count.trim().parse().ok());
        count.ok_or_else(|| io::Error::other("the server does not tell how many watches are behind"))
    }

    /// Collects what a stream has delivered until the condition holds of it; false when it does not in this time.
    pub(super) fn collect(
        &mut self,
        stream: usize,
        time: Duration,
        mut more: impl FnMut(Vec<Answer>) -> bool,
    ) -> bool {
        let Self { connection, streams, identity, .. } = self;
        let Some((kind, stream, told)) = &mut streams[stream] else { return more(Vec::new()) };
        connection.wait_until(time, || {
            let mut answers: Vec<Answer> =
                stream.take().iter().map(|message| kind.read(message, identity)).collect();
            if let Some(end) = stream.end().filter(|_| !*told) {
                // Messages come before the end: none can have come in between unseen.
                answers.extend(stream.take().iter().map(|message| kind.read(message, identity)));
                let lost = |reason: String| Status { code: u32::MAX, message: reason.into() };
                answers.push(Answer::Status(end.unwrap_or_else(lost)));
                *told = true;
            }
            more(answers)
        })
    }
}
