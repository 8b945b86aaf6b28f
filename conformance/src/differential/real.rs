//! The real server's side.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use etcdium_sim::model::Status;

use super::answer::{Answer, Kind};
use super::grpc::{Connection, Stream, Trouble};
use super::operation::STREAMS;

/// A connection to a real server and its open streams.
#[derive(Debug)]
pub(super) struct Real {
    connection: Connection,
    streams: [Option<(Kind, Stream, bool)>; STREAMS],
}

impl Real {
    pub(super) fn open(address: SocketAddr) -> Result<Self, Trouble> {
        Ok(Self { connection: Connection::open(address)?, streams: [const { None }; STREAMS] })
    }

    pub(super) fn unary(&self, kind: Kind, message: &Bytes) -> Answer {
        match self.connection.unary(kind.path(), message) {
            Ok(Ok(message)) => kind.read(&message),
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

    /// Collects what a stream has delivered until the condition holds of it; false when it does not in this time.
    pub(super) fn collect(
        &mut self,
        stream: usize,
        time: Duration,
        mut more: impl FnMut(Vec<Answer>) -> bool,
    ) -> bool {
        let Self { connection, streams } = self;
        let Some((kind, stream, told)) = &mut streams[stream] else { return more(Vec::new()) };
        connection.wait_until(time, || {
            let mut answers: Vec<Answer> = stream.take().iter().map(|message| kind.read(message)).collect();
            if let Some(end) = stream.end().filter(|_| !*told) {
                // Messages come before the end: none can have come in between unseen.
                answers.extend(stream.take().iter().map(|message| kind.read(message)));
                let lost = |reason: String| Status { code: u32::MAX, message: reason.into() };
                answers.push(Answer::Status(end.unwrap_or_else(lost)));
                *told = true;
            }
            more(answers)
        })
    }
}
