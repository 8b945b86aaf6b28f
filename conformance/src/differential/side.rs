//! A model or a real server with one watch stream: for what no script shows.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdium_proto::etcdserverpb::WatchResponse;

use super::Failure;
use super::answer::{Answer, Kind, revision};
use super::model::Model;
use super::real::Real;

/// How long all events of one write may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long is waited for the next answers.
const STEP: Duration = Duration::from_millis(50);
/// Between two looks at whether watches have caught up.
const LOOK: Duration = Duration::from_millis(5);
const STREAM: usize = 0;

/// Either of the two.
pub(super) trait Side {
    fn unary(&mut self, kind: Kind, message: &Bytes) -> Answer;
    /// Sends on the one watch stream.
    fn send(&mut self, message: &Bytes) -> Result<(), Failure>;
    /// Takes what has come, after waiting a little if nothing has.
    fn take(&mut self) -> Vec<Answer>;
    /// Waits until no watch is behind.
    fn catch_up(&mut self) -> Result<(), Failure>;
}

/// A real server.
pub(super) struct RealSide(Real);

impl RealSide {
    pub(super) fn open(address: SocketAddr) -> Result<Self, Failure> {
        Real::open(address).map(Self).map_err(|trouble| Failure(trouble.to_string()))
    }
}

impl Side for RealSide {
    fn unary(&mut self, kind: Kind, message: &Bytes) -> Answer {
        self.0.unary(kind, message)
    }

    fn send(&mut self, message: &Bytes) -> Result<(), Failure> {
        self.0.send(STREAM, Kind::Watch, message).map_err(|trouble| Failure(trouble.to_string()))
    }

    fn take(&mut self) -> Vec<Answer> {
        let mut taken = Vec::new();
        self.0.collect(STREAM, STEP, |answers| {
            taken.extend(answers);
            !taken.is_empty()
        });
        taken
    }

    fn catch_up(&mut self) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        while self.0.watches_behind().map_err(|error| Failure(error.to_string()))? > 0 {
            if Instant::now() > until {
                return Err(Failure("watches do not catch up".to_owned()));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Side for Model {
    fn unary(&mut self, kind: Kind, message: &Bytes) -> Answer {
        self.unary(kind, message)
    }

    fn send(&mut self, message: &Bytes) -> Result<(), Failure> {
        self.send(STREAM, Kind::Watch, message.clone());
        Ok(())
    }

    fn take(&mut self) -> Vec<Answer> {
        self.advance(STEP);
        self.take(STREAM)
    }

    fn catch_up(&mut self) -> Result<(), Failure> {
        self.advance(PATIENCE);
        Ok(())
    }
}

/// The revision of an answer that must have one.
pub(super) fn revision_of(answer: &Answer) -> Result<i64, Failure> {
    revision(answer).ok_or_else(|| Failure(format!("a call was answered with {answer:?}")))
}

/// Takes answers until this many of what is counted have come.
pub(super) fn until(
    side: &mut impl Side,
    wanted: usize,
    mut counted: impl FnMut(&WatchResponse) -> usize,
) -> Result<(), Failure> {
    let mut count = 0;
    for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
        for answer in side.take() {
            match answer {
                Answer::Watch(response) => count += counted(&response),
                other => return Err(Failure(format!("on the watch stream: {other:?}"))),
            }
        }
        if count >= wanted {
            return Ok(());
        }
    }
    Err(Failure(format!("{count} of {wanted} answers came in time")))
}
