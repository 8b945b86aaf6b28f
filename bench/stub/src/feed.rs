//! The events of one watch: one response is built beforehand and sent again and again, with other revisions.

use etcdium_proto::etcdserverpb::{ResponseHeader, WatchResponse};
use etcdium_proto::mvccpb::{Event, KeyValue};

use crate::answers::{framed, header};
use crate::store::{History, VARINT, varint};

/// Stands for every revision until there is one; no key or value holds these bytes.
const PLACE: i64 = 0x5_5555_5555;
/// `mod_revision` of a key-value and `revision` of a header have the same tag.
const TAG: u8 = 0x18;

/// A watch on a key with a history.
pub(crate) struct Feed {
    pub(crate) watch_id: i64,
    history: History,
    /// The first revision that was not handed out yet.
    next: i64,
    header: ResponseHeader,
    response: Response,
}

/// A framed response and where its revisions stand: the header's first, then one for each event.
struct Response {
    bytes: Vec<u8>,
    places: Vec<usize>,
    revisions: i64,
}

impl Feed {
    /// A watch of this history from this revision on.
    pub(crate) fn new(watch_id: i64, history: History, from: i64, ordinal: u64) -> Self {
        let header = header(ordinal, PLACE);
        let response = Response::new(watch_id, header, &history, history.revisions_per_response);
        Self { watch_id, history, next: from.max(history.first), header, response }
    }

    /// Prepares the next response, while the store is at this revision; `false` when nothing has happened yet.
    pub(crate) fn advance(&mut self, revision: i64) -> bool {
        let left = self.history.last.unwrap_or(revision) - self.next + 1;
        if left <= 0 {
            return false;
        }
        let revisions = left.min(self.history.revisions_per_response as i64);
        if revisions != self.response.revisions {
            self.response = Response::new(self.watch_id, self.header, &self.history, revisions as usize);
        }
        self.response.set(self.next, self.history.per_revision);
        self.next += revisions;
        true
    }

    /// Whether there are events to come while the store is at this revision.
    pub(crate) fn is_behind(&self, revision: i64) -> bool {
        self.next <= self.history.last.unwrap_or(revision)
    }

    /// The response that was prepared, framed.
    pub(crate) fn response(&self) -> &[u8] {
        &self.response.bytes
    }
}

impl Response {
    fn new(watch_id: i64, header: ResponseHeader, history: &History, revisions: usize) -> Self {
        let event = |index: usize| Event {
            kv: Some(KeyValue {
                key: format!("bench/feed/{index:08}").into(),
                create_revision: 900_000,
                mod_revision: PLACE,
                version: 90,
                value: vec![b'v'; history.value_len].into(),
                lease: 0,
            }),
            ..Event::default()
        };
        let events = (0..revisions * history.per_revision).map(event).collect();
        let response = WatchResponse { header: Some(header), watch_id, events, ..WatchResponse::default() };
        let bytes = framed(&response).to_vec();
        let mut mark = vec![TAG];
        mark.extend_from_slice(&varint(PLACE));
        let places = bytes.windows(mark.len()).enumerate();
        let places = places.filter(|(_, bytes)| *bytes == mark).map(|(at, _)| at + 1).collect();
        Self { bytes, places, revisions: revisions as i64 }
    }

    /// Numbers the events from `first` on; the header has the last of these revisions.
    fn set(&mut self, first: i64, per_revision: usize) {
        let Some((header, events)) = self.places.split_first() else { return };
        let mut put = |at: usize, revision: &[u8; VARINT]| {
            self.bytes[at..at + VARINT].copy_from_slice(revision);
        };
        let mut revision = first;
        for same in events.chunks(per_revision) {
            let wire = varint(revision);
            same.iter().for_each(|at| put(*at, &wire));
            revision += 1;
        }
        put(*header, &varint(revision - 1));
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::store::Store;

    fn read(feed: &Feed) -> (i64, Vec<i64>) {
        let response = WatchResponse::decode(&feed.response()[5..]).expect("a watch response");
        assert_eq!(response.watch_id, 77);
        let revisions = response.events.iter().map(|event| event.kv.as_ref().map_or(0, |kv| kv.mod_revision));
        (response.header.map_or(0, |header| header.revision), revisions.collect())
    }

    #[test]
    fn every_revision_from_the_start_comes_once() {
        let store = Store::new();
        let history = store.history(b"bench/feed/revisions/250/a").expect("a feed");
        let mut feed = Feed::new(77, history, history.first + 30, 1);
        let mut seen = Vec::new();
        while feed.advance(store.revision()) {
            let (header, revisions) = read(&feed);
            assert_eq!(Some(&header), revisions.last());
            seen.extend(revisions);
        }
        assert!(!feed.is_behind(store.revision()));
        assert_eq!(seen, (history.first + 30..history.first + 250).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_is_one_revision() {
        let store = Store::new();
        let history = store.history(b"bench/feed/batched/200/a").expect("a feed");
        let mut feed = Feed::new(77, history, 0, 1);
        for revision in [history.first, history.first + 1] {
            assert!(feed.advance(store.revision()));
            assert_eq!(read(&feed), (revision, vec![revision; 100]));
        }
        assert!(!feed.advance(store.revision()));
    }

    #[test]
    fn puts_are_events() {
        let store = Store::new();
        let history = store.history(b"bench/feed/puts/0/a").expect("a feed");
        let mut feed = Feed::new(77, history, 0, 1);
        assert!(!feed.advance(store.revision()));
        let revision = store.raise();
        assert!(feed.is_behind(store.revision()));
        assert!(feed.advance(store.revision()));
        assert_eq!(read(&feed), (revision, vec![revision]));
    }
}
