//! What a stream has delivered, watch by watch.

use std::collections::BTreeMap;
use std::mem;

use etcdium_proto::etcdserverpb::WatchResponse;
use etcdium_proto::mvccpb;
use etcdium_sim::model::Status;

use super::answer::Answer;

/// One thing delivered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Event(mvccpb::Event),
    /// Anything else.
    Answer(Answer),
}

/// The id under which the server says what is about no watch.
const NO_WATCH: i64 = -1;

/// What comes under one watch id. A watch may be given the id -1, under which the server also refuses watches and tells the
/// progress of all; these, and only these, have no order among each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// A watch from its creation to its cancellation.
    Watch,
    Refusal,
    Progress,
}

/// What a stream has delivered since it was last compared, in order, by watch id. Renewals stand under id 0.
#[derive(Debug, Default)]
pub(super) struct Log {
    items: BTreeMap<(i64, Class), Vec<Item>>,
    /// The latest progress of all watches, before the last comparison or since.
    progress: Option<Item>,
    end: Option<Status>,
}

impl Log {
    pub(super) fn add(&mut self, answer: Answer) {
        match answer {
            Answer::Status(status) => self.end = Some(status),
            Answer::Watch(response) => self.add_watch(response),
            other => self.items.entry((0, Class::Watch)).or_default().push(Item::Answer(other)),
        }
    }

    fn add_watch(&mut self, mut response: WatchResponse) {
        let progress = is_progress(&response);
        let class = match (response.watch_id, response.created && response.canceled) {
            (NO_WATCH, _) if progress => Class::Progress,
            (NO_WATCH, true) => Class::Refusal,
            _ => Class::Watch,
        };
        let items = self.items.entry((response.watch_id, class)).or_default();
        let events = mem::take(&mut response.events);
        if !events.is_empty() {
            // How they are batched, and so what the header says, is chance.
            (response.fragment, response.header) = (false, None);
            items.extend(events.into_iter().map(Item::Event));
            let plain = WatchResponse { watch_id: response.watch_id, ..Default::default() };
            if response == plain {
                return;
            }
        }
        if response.compact_revision != 0 {
            // Told when the server comes round to it.
            response.header = None;
        }
        let item = Item::Answer(Answer::Watch(response));
        if class == Class::Progress {
            // A request for progress may have been repeated, and a busy server may answer it again much later.
            if self.progress.as_ref() == Some(&item) {
                return;
            }
            self.progress = Some(item.clone());
        }
        items.push(item);
    }

    /// Begins anew; gives what was delivered until now.
    pub(super) fn cut(&mut self) -> Self {
        let progress = self.progress.clone();
        mem::replace(self, Self { progress, ..Self::default() })
    }

    pub(super) fn ended(&self) -> bool {
        self.end.is_some()
    }

    /// Whether there is at least as much of everything as in `other`.
    pub(super) fn covers(&self, other: &Self) -> bool {
        (self.ended() || !other.ended())
            && other.items.iter().all(|(id, items)| self.items.get(id).map_or(0, Vec::len) >= items.len())
    }

    /// The first difference, as (here, there).
    pub(super) fn differs(&self, other: &Self) -> Option<(String, String)> {
        let empty = Vec::new();
        for id in self.items.keys().chain(other.items.keys()) {
            let here = self.items.get(id).unwrap_or(&empty);
            let there = other.items.get(id).unwrap_or(&empty);
            for at in 0..here.len().max(there.len()) {
                let (one, two) = (here.get(at), there.get(at));
                if one != two {
                    let show = |item: Option<&Item>| match item {
                        Some(item) => format!("watch {id:?}, item {at}: {item:?}"),
                        None => format!("watch {id:?}, item {at}: nothing"),
                    };
                    return Some((show(one), show(two)));
                }
            }
        }
        (self.end != other.end).then(|| (format!("{:?}", self.end), format!("{:?}", other.end)))
    }
}

fn is_progress(response: &WatchResponse) -> bool {
    !response.created && !response.canceled && response.events.is_empty()
}

#[cfg(test)]
mod tests {
    use etcdium_proto::etcdserverpb::ResponseHeader;

    use super::*;

    #[test]
    fn progress_that_is_told_again_counts_once() {
        let told = |revision| {
            let header = Some(ResponseHeader { revision, ..Default::default() });
            Answer::Watch(WatchResponse { watch_id: NO_WATCH, header, ..Default::default() })
        };
        let (mut model, mut real) = (Log::default(), Log::default());
        model.add(told(5));
        real.add(told(5));
        real.add(told(5));
        assert_eq!(model.cut().differs(&real.cut()), None);
        real.add(told(5));
        assert_eq!(model.cut().differs(&real.cut()), None, "late");
        real.add(told(6));
        assert!(model.cut().differs(&real.cut()).is_some(), "of another revision");
    }
}
