//! Renewals of leases that are kept alive, over streams that all of them share.
//!
//! | what | rule |
//! |---|---|
//! | renewal | at a third of the time to live; one on its way per lease |
//! | no answer | after a sixth of the time to live, earlier near the expiry, the renewal is asked for on a further stream: on the same connection if that lives, then elsewhere |
//! | a stream ends | the lease the server was busy with goes on alone, the others on a new stream; not if the member has no leader, or the connection broke: no lease is to blame |
//! | the server refuses a stream, or ends it soon | again after a back-off of a tenth of what is left at most, the lease with the least time first |
//!
//! etcd renews the leases of a stream one after the other, and whatever goes wrong with one of them but "not found" ends the
//! stream (`LeaseServer.leaseKeepAlive`, server/etcdserver/api/v3rpc/lease.go). A stream has no state worth keeping, so
//! streams are opened and dropped as need be.

use std::sync::Arc;
use std::time::Duration;

use etcdium_proto::StreamMethod;
use etcdium_proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use etcdium_proto::streams::LeaseKeepAlive;
use prost::Message;

use super::connections::Stage as ConnectionStage;
use super::streams::OwnSettings;
use super::{Core, Life};
use crate::backoff::Backoff;
use crate::key::LeaseKey;
use crate::lease::{Answered, Asked, Kept, Renewal, Renewals, Role, pacing};
use crate::stream::Reader;
use crate::trace::event;
use crate::{ConnectionKey, Error, ErrorKind, EtcdError, Outcome, ProtocolError, StreamKey};

/// As many shared streams may be open: one that works, the others stuck.
const STREAMS: usize = 4;

/// So many renewals are sent as one piece: of 16 bytes at most each, they fit into one HTTP/2 frame of any peer.
const TOGETHER: usize = 512;

/// A stream that lived for so long need not be followed by a pause.
const PROOF: Duration = Duration::from_secs(1);

impl Core {
    // Asking.

    /// Asks for the renewals that wait, as far as there are streams, or connections to open them on.
    pub(super) fn renew_waiting(&mut self) {
        if self.leases.wanted.is_empty() || self.life == Life::Closed || !self.is_any_ready(None) {
            return;
        }
        let blocked = self.leases.open_at.is_some_and(|at| at > self.now);
        // A stream that is dropped for another one adds to them.
        for _ in 0..2 {
            for key in self.waiting_leases() {
                let Some(keeper) = self.leases.keepers.get(key) else { continue };
                if keeper.suspect {
                    self.ask_alone(key);
                } else if !blocked && self.main_stream().is_none() {
                    self.ask_further(key);
                }
            }
            if let Some(main) = self.main_stream() {
                self.ask_on(main);
            }
        }
        self.arm_leases();
    }

    /// The stream for renewals, if it works.
    fn main_stream(&mut self) -> Option<StreamKey> {
        let main = self.leases.main?;
        let works = self.leases.streams.get(&main).is_some_and(|renewals| {
            let stuck = renewals.first().is_some_and(|first| first.overdue_at <= self.now);
            !stuck && self.is_open(renewals.connection)
        });
        if !works {
            self.leases.main = None;
            self.tidy_renewals(main);
        }
        works.then_some(main)
    }

    fn is_open(&self, connection: ConnectionKey) -> bool {
        self.connections.get(connection).is_some_and(|known| known.stage == ConnectionStage::Open)
    }

    /// The leases whose renewal waits, the most urgent first.
    fn waiting_leases(&self) -> Vec<LeaseKey> {
        self.leases.wanted.iter().map(|(_, key)| *key).collect()
    }

    /// Asks for what waits and may go on a stream for all, in few pieces: what ten thousand leases ask for at once would
    /// take megabytes on its way as messages of their own.
    fn ask_on(&mut self, stream: StreamKey) {
        let mut waiting = self.waiting_leases();
        waiting.retain(|key| self.leases.keepers.get(*key).is_some_and(|keeper| !keeper.suspect));
        for keys in waiting.chunks(TOGETHER) {
            let asked: Vec<Asked> = keys.iter().filter_map(|key| self.asking(*key, stream)).collect();
            let requests: Vec<_> =
                asked.iter().map(|asked| LeaseKeepAliveRequest { id: asked.id.get() }).collect();
            // They are small, whatever the limit.
            if self.send_own_all::<LeaseKeepAlive>(stream, &requests, true).is_ok() {
                if let Some(renewals) = self.leases.streams.get_mut(&stream) {
                    renewals.extend(asked);
                }
            }
        }
    }

    /// Opens a further stream for all.
    fn ask_further(&mut self, key: LeaseKey) {
        let prefer = self.leases.prefer.take().filter(|connection| self.is_open(*connection));
        let Some(connection) = prefer.or_else(|| self.pick(None, self.leases.avoid)) else { return };
        let shared = |(_, renewals): &(&StreamKey, &Renewals)| renewals.role == Role::Shared;
        if self.leases.streams.iter().filter(shared).count() >= STREAMS {
            let oldest = self.leases.streams.iter().find(shared).map(|(stream, _)| *stream);
            if let Some(oldest) = oldest {
                self.drop_renewals(oldest);
            }
        }
        self.leases.main = self.open_renewals(key, connection, Role::Shared);
    }

    /// Asks on a stream that nobody shares.
    fn ask_alone(&mut self, key: LeaseKey) {
        #[cfg(etcdium_planted)]
        if self.config.has(crate::Planted::LeaseSharedFate) {
            if let Some(keeper) = self.leases.keepers.get_mut(key) {
                keeper.suspect = false;
            }
            return;
        }
        let prefer = self.leases.prefer.filter(|connection| self.is_open(*connection));
        let Some(connection) = prefer.or_else(|| self.pick(None, self.leases.avoid)) else { return };
        self.open_renewals(key, connection, Role::Alone(key));
    }

    fn open_renewals(&mut self, key: LeaseKey, connection: ConnectionKey, role: Role) -> Option<StreamKey> {
        let id = self.leases.keepers.get(key)?.id;
        let endpoint = self.connections.get(connection)?.endpoint;
        let request = LeaseKeepAliveRequest { id: id.get() };
        let settings = OwnSettings { require_leader: true, metadata: None };
        let stream = self.open_own::<LeaseKeepAlive>(connection, &request, Reader::Leases, settings).ok()?;
        let asked = self.asking(key, stream)?;
        let renewals = Renewals::new(endpoint, connection, role, self.now, asked);
        self.leases.streams.insert(stream, renewals);
        Some(stream)
    }

    /// Notes that a renewal goes out.
    fn asking(&mut self, key: LeaseKey, stream: StreamKey) -> Option<Asked> {
        self.leases.unwant(key);
        let (epoch, sent) = (self.leases.epoch, self.now);
        let keeper = self.leases.keepers.get_mut(key)?;
        let overdue_at = keeper.asked(epoch, sent, stream);
        let id = keeper.id;
        self.leases.schedule(key);
        Some(Asked { lease: key, id, sent, overdue_at })
    }

    // What comes.

    /// Something came on a stream of renewals.
    pub(super) fn leases_received(&mut self, stream: StreamKey) {
        while let Some(message) = self.next_own(stream) {
            match LeaseKeepAliveResponse::decode(message) {
                Ok(response) => self.renewal_answered(stream, response),
                Err(error) => {
                    let kind = ErrorKind::Protocol(ProtocolError::Message(error.to_string()));
                    let error = Error::new(kind, Outcome::NotApplied).with_method(LeaseKeepAlive::METHOD);
                    self.drop_stream(stream);
                    self.leases_lost(stream, Err(error));
                }
            }
        }
        self.tidy_renewals(stream);
        self.renew_waiting();
        self.arm_leases();
    }

    fn renewal_answered(&mut self, stream: StreamKey, response: LeaseKeepAliveResponse) {
        let now = self.now;
        let Some(renewals) = self.leases.streams.get_mut(&stream) else { return };
        let Some(asked) = renewals.answer(response.id) else {
            event!(WARN, "an answer to a renewal that was not asked for", lease = response.id);
            return;
        };
        renewals.answered = true;
        self.leases.avoid = self.leases.avoid.filter(|avoided| *avoided != renewals.endpoint);
        if now.saturating_duration_since(renewals.opened) >= PROOF {
            self.leases.backoff.reset();
        }
        let (key, endpoint) = (asked.lease, renewals.endpoint);
        let Some(keeper) = self.leases.keepers.get_mut(key) else { return };
        let ttl = pacing::seconds(response.ttl);
        #[cfg(etcdium_planted)]
        let sent = if self.config.has(crate::Planted::LeaseFromReceipt) { now } else { asked.sent };
        #[cfg(etcdium_planted)]
        let asked = Asked { sent, ..asked };
        #[cfg(etcdium_planted)]
        let ttl = if self.config.has(crate::Planted::LeaseZeroIgnored) && ttl.is_zero() {
            keeper.ttl()
        } else {
            ttl
        };
        // A renewal that waits for a stream has become needless.
        if let Renewal::Wanted(urgency) = keeper.renewal {
            self.leases.wanted.remove(&(urgency, key));
            keeper.renewal = Renewal::Rest(now);
        }
        let kept = Kept { id: keeper.id, ttl, header: response.header };
        match keeper.answered(self.leases.epoch, now, &asked, kept) {
            Answered::Nothing => {}
            Answered::Renewed => {
                if keeper.renewal == Renewal::Rest(now) {
                    self.leases.want(key);
                }
                self.leases.schedule(key);
                self.lease_changed(key);
            }
            Answered::Doubtful(at) => {
                keeper.renewal = Renewal::Rest(at);
                self.leases.avoid = Some(endpoint);
                self.leases.schedule(key);
            }
            Answered::Once | Answered::Over => self.lease_over(key),
        }
    }

    /// A stream of renewals has ended.
    pub(super) fn leases_lost(&mut self, stream: StreamKey, result: Result<(), Error>) {
        let Some(renewals) = self.leases.streams.remove(&stream) else { return };
        if self.leases.main == Some(stream) {
            self.leases.main = None;
        }
        let error = result.err().unwrap_or_else(|| {
            let error = Error::new(ErrorKind::Unavailable, Outcome::NotApplied);
            error.with_message("the server ended the stream").with_method(LeaseKeepAlive::METHOD)
        });
        // Not so when the connection broke: then no lease is to blame, nor is one for a member that has no leader.
        let refused = *error.kind() != ErrorKind::Unavailable;
        let of_lease = refused && error.etcd() != Some(EtcdError::NoLeader);
        if refused {
            self.leases.avoid = Some(renewals.endpoint);
        }
        let lived = self.now.saturating_duration_since(renewals.opened) >= PROOF;
        let shared = renewals.role == Role::Shared;
        let proved = renewals.answered && lived;
        let renewals_on = renewals.connection;
        let cause = Arc::new(error);
        for (place, asked) in renewals.into_asked().into_iter().enumerate() {
            let key = asked.lease;
            let Some(keeper) = self.leases.keepers.get_mut(key) else { continue };
            // It may have been asked for elsewhere since.
            if !matches!(keeper.renewal, Renewal::Flight { stream: of, .. } if of == stream) {
                keeper.failed_late(&cause);
                continue;
            }
            keeper.failed(&cause);
            if place == 0 && of_lease && shared {
                keeper.suspect = true;
            }
            if shared {
                self.leases.want(key);
            } else {
                self.rest_alone(key);
            }
            self.leases.schedule(key);
        }
        if self.life != Life::Closed {
            // What follows a connection that broke is held back by the pauses between connections: another one that is
            // ready may be the last chance before the next leader dies.
            if shared && !proved && self.is_open(renewals_on) {
                self.hold_back();
            }
            self.renew_waiting();
            self.arm_leases();
        }
    }

    /// No shared stream is opened before a back-off is over; the lease with the least time does not wait for long.
    fn hold_back(&mut self) {
        let delay = self.leases.backoff.next_delay(&mut self.rng);
        let keepers = &self.leases.keepers;
        let urgent = self.leases.wanted.first().and_then(|(_, key)| keepers.get(*key));
        let left = urgent.map_or(pacing::UNKNOWN_TTL, |keeper| keeper.left(self.now));
        self.leases.open_at = Some(self.later(pacing::hurry(delay, left)));
    }

    /// A lease that failed alone waits before it is asked for again.
    fn rest_alone(&mut self, key: LeaseKey) {
        let Some(keeper) = self.leases.keepers.get_mut(key) else { return };
        let mut backoff = Backoff::after(self.leases.retry, u32::from(keeper.misses.saturating_sub(1)));
        let delay = pacing::hurry(backoff.next_delay(&mut self.rng), keeper.left(self.now));
        keeper.renewal = Renewal::Rest(pacing::after(self.now, delay));
    }

    // Streams that are not needed any more.

    /// Drops a stream on which nothing is asked and nothing will be.
    pub(super) fn tidy_renewals(&mut self, stream: StreamKey) {
        let Some(renewals) = self.leases.streams.get(&stream) else { return };
        let main = self.leases.main == Some(stream) && self.is_open(renewals.connection);
        if renewals.is_idle() && !main {
            self.drop_renewals(stream);
        }
    }

    /// Drops a stream; what was asked on it is asked for again.
    pub(super) fn drop_renewals(&mut self, stream: StreamKey) {
        let Some(renewals) = self.leases.streams.remove(&stream) else { return };
        if self.leases.main == Some(stream) {
            self.leases.main = None;
        }
        self.drop_stream(stream);
        for asked in renewals.into_asked() {
            let renewal = self.leases.keepers.get(asked.lease).map(|keeper| keeper.renewal);
            if matches!(renewal, Some(Renewal::Flight { stream: of, .. }) if of == stream) {
                self.leases.want(asked.lease);
                self.leases.schedule(asked.lease);
            }
        }
    }

    /// A connection takes no new calls any more: idle streams must not hold it.
    pub(super) fn leave_connection(&mut self, connection: ConnectionKey) {
        let here = self.leases.streams.iter().filter(|(_, renewals)| renewals.connection == connection);
        for stream in here.map(|(stream, _)| *stream).collect::<Vec<_>>() {
            self.tidy_renewals(stream);
        }
    }
}
