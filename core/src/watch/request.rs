//! What a watch asks for.

use std::sync::Arc;

use etcdium_proto::etcdserverpb::WatchCreateRequest;
use etcdium_proto::etcdserverpb::watch_create_request::FilterType;

use crate::{EndpointKey, InvalidRequest, KeyRange, Metadata, Revision};

/// What to watch, and how: the argument of [`Core::watch`](crate::Core::watch).
///
/// | setting | default |
/// |---|---|
/// | [`from_revision`](Self::from_revision) | from now on |
/// | [`prev_kv`](Self::prev_kv), [`progress_notify`](Self::progress_notify) | no |
/// | [`puts`](Self::puts), [`deletes`](Self::deletes) | both |
/// | [`fragment`](Self::fragment) | yes |
/// | [`created`](Self::created), [`connection_notices`](Self::connection_notices) | no |
/// | [`max_buffer`](Self::max_buffer) | 16 MiB |
/// | [`require_leader`](Self::require_leader) | yes |
/// | [`endpoint`](Self::endpoint), [`metadata`](Self::metadata) | any, none |
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct WatchRequest {
    pub(crate) range: KeyRange,
    pub(crate) start: Option<Revision>,
    pub(crate) prev_kv: bool,
    pub(crate) progress_notify: bool,
    pub(crate) puts: bool,
    pub(crate) deletes: bool,
    pub(crate) fragment: bool,
    pub(crate) created: bool,
    pub(crate) notices: bool,
    pub(crate) max_buffer: usize,
    pub(crate) require_leader: bool,
    pub(crate) endpoint: Option<EndpointKey>,
    pub(crate) metadata: Option<Arc<Metadata>>,
}

impl WatchRequest {
    /// Bytes buffered for a slow reader before its watch is parked, by default.
    pub const MAX_BUFFER: usize = 16 * 1024 * 1024;

    /// A watch of these keys, from now on.
    pub fn new(range: impl Into<KeyRange>) -> Self {
        Self {
            range: range.into(),
            start: None,
            prev_kv: false,
            progress_notify: false,
            puts: true,
            deletes: true,
            fragment: true,
            created: false,
            notices: false,
            max_buffer: Self::MAX_BUFFER,
            require_leader: true,
            endpoint: None,
            metadata: None,
        }
    }

    /// Watches these keys instead.
    pub fn range(mut self, range: impl Into<KeyRange>) -> Self {
        self.range = range.into();
        self
    }

    /// Events from this revision on, past or future; zero stands for from now on. Default: from now on, that is behind
    /// the revision at which the server confirms the watch.
    pub fn from_revision(mut self, revision: Revision) -> Self {
        self.start = (revision != Revision::ZERO).then_some(revision);
        self
    }

    /// Each event carries the pair as it was before, where there was one that is not yet compacted. Default no.
    pub fn prev_kv(mut self) -> Self {
        self.prev_kv = true;
        self
    }

    /// The server tells how far an idle watch has come, about every ten minutes
    /// (`--watch-progress-notify-interval`). Default no.
    pub fn progress_notify(mut self) -> Self {
        self.progress_notify = true;
        self
    }

    /// Whether puts are reported. Default yes.
    pub fn puts(mut self, report: bool) -> Self {
        self.puts = report;
        self
    }

    /// Whether deletions are reported. Default yes.
    pub fn deletes(mut self, report: bool) -> Self {
        self.deletes = report;
        self
    }

    /// Whether the server may split responses larger than its request limit, which are joined again before anybody sees
    /// them. Default yes.
    pub fn fragment(mut self, split: bool) -> Self {
        self.fragment = split;
        self
    }

    /// [`WatchItem::Created`](crate::WatchItem::Created) is given, once, as the first item. Default no.
    pub fn created(mut self) -> Self {
        self.created = true;
        self
    }

    /// Whether trouble with the connection is told in-band, as [`WatchItem::Disconnected`](crate::WatchItem::Disconnected)
    /// and [`WatchItem::Resumed`](crate::WatchItem::Resumed). Default no.
    pub fn connection_notices(mut self, tell: bool) -> Self {
        self.notices = tell;
        self
    }

    /// How many bytes may be buffered before the watch is parked: cancelled on the server, and created again from where
    /// it stopped when its reader has taken everything. What is larger than that in one revision is given whole all the
    /// same. Default 16 MiB.
    pub fn max_buffer(mut self, bytes: usize) -> Self {
        self.max_buffer = bytes;
        self
    }

    /// Whether a member without a leader is left for another one. Default yes; without, a watch on a member that is cut
    /// off from its peers stays there and is silent.
    pub fn require_leader(mut self, require: bool) -> Self {
        self.require_leader = require;
        self
    }

    /// Watches through this endpoint and no other. Default: any.
    pub fn endpoint(mut self, endpoint: EndpointKey) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Metadata sent with the stream besides the client's. Watches with equal metadata share a stream. Default none.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = Some(Arc::new(metadata));
        self
    }

    /// What no server accepts: said here, since a grpc-proxy leaves such requests without an answer.
    pub(crate) fn check(&self) -> Result<(), InvalidRequest> {
        let value = |option, reason| Err(InvalidRequest::Value { option, reason });
        let (key, end) = self.range.clone().into_parts();
        if self.start.is_some_and(|start| start < Revision::ZERO) {
            return value("from_revision", "it is negative: the required revision has been compacted");
        }
        if !end.is_empty() && end[..] != [0] && end <= key {
            return value("range", "it holds no key: its end is not behind its start");
        }
        if !self.puts && !self.deletes {
            return value("puts", "neither puts nor deletions are to be reported");
        }
        Ok(())
    }

    /// The message that creates the watch on a server.
    pub(crate) fn creation(&self, watch_id: i64, start: Option<Revision>) -> WatchCreateRequest {
        let (key, range_end) = self.range.clone().into_parts();
        let mut filters = Vec::new();
        filters.extend((!self.puts).then_some(FilterType::Noput as i32));
        filters.extend((!self.deletes).then_some(FilterType::Nodelete as i32));
        WatchCreateRequest {
            key,
            range_end,
            start_revision: start.map_or(0, Revision::get),
            progress_notify: self.progress_notify,
            filters,
            prev_kv: self.prev_kv,
            watch_id,
            fragment: self.fragment,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_server_accepts_is_refused() {
        let option = |request: WatchRequest| match request.check() {
            Err(InvalidRequest::Value { option, .. }) => option,
            _ => "",
        };
        assert_eq!(option(WatchRequest::new(KeyRange::range("b", "a"))), "range");
        assert_eq!(option(WatchRequest::new(KeyRange::range("a", "a"))), "range");
        assert_eq!(option(WatchRequest::new(KeyRange::range("a", "b"))), "");
        assert_eq!(option(WatchRequest::new(KeyRange::from_key("a"))), "");
        let single = || WatchRequest::new(KeyRange::single("a"));
        assert_eq!(option(single().from_revision(Revision::new(-1))), "from_revision");
        assert_eq!(option(single().puts(false)), "");
        assert_eq!(option(single().puts(false).deletes(false)), "puts");
    }

    /// WATCH-069: what is asked for is what is sent.
    #[test]
    fn watch_069_the_creation_carries_every_setting() {
        let request = WatchRequest::new(KeyRange::prefix("k")).prev_kv().progress_notify().deletes(false);
        let creation = request.creation(7, Some(Revision::new(9)));
        assert_eq!((&creation.key[..], &creation.range_end[..]), (&b"k"[..], &b"l"[..]));
        assert_eq!((creation.watch_id, creation.start_revision), (7, 9));
        assert!(creation.prev_kv && creation.progress_notify && creation.fragment);
        assert_eq!(creation.filters, [FilterType::Nodelete as i32]);
        assert_eq!(WatchRequest::new(KeyRange::single("k")).creation(1, None).start_revision, 0);
    }
}
