//! Changes of keys, as watches tell them.

use etcdium_core::Revision;
use etcdium_proto::mvccpb;
use etcdium_proto::mvccpb::event::EventType;

use crate::KeyValue;

/// What a [`Watcher`](crate::Watcher) gives.
pub type WatchItem = etcdium_core::WatchItem<Event>;

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The pair after the change. Of a deletion only the key and [`mod_revision`](KeyValue::mod_revision), the revision
    /// of the deletion, are set.
    pub kv: KeyValue,
    /// The pair before the change: if [`Watch::prev_kv`](crate::Watch::prev_kv) asked for it, the key existed, and that
    /// revision is not compacted.
    pub prev_kv: Option<KeyValue>,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// It was put.
    Put,
    /// It was deleted, or its lease ended.
    Delete,
}

impl Event {
    /// An event, for tests and fakes.
    pub fn new(kind: EventKind, kv: KeyValue, prev_kv: Option<KeyValue>) -> Self {
        Self { kind, kv, prev_kv }
    }

    /// The revision of the change.
    pub fn revision(&self) -> Revision {
        self.kv.mod_revision
    }

    /// Whether the key was made: a put of a key that did not exist. The Go client's `Event.IsCreate`
    /// (`client/v3/watch.go`).
    pub fn is_create(&self) -> bool {
        self.kind == EventKind::Put && self.kv.create_revision == self.kv.mod_revision
    }

    /// Whether an existing key was put. The Go client's `Event.IsModify` (`client/v3/watch.go`).
    pub fn is_modify(&self) -> bool {
        self.kind == EventKind::Put && self.kv.create_revision != self.kv.mod_revision
    }

    /// Whether the key was deleted.
    pub fn is_delete(&self) -> bool {
        self.kind == EventKind::Delete
    }
}

impl From<mvccpb::Event> for Event {
    fn from(event: mvccpb::Event) -> Self {
        let kind = if event.r#type == EventType::Delete as i32 { EventKind::Delete } else { EventKind::Put };
        Self {
            kind,
            kv: event.kv.map(KeyValue::from).unwrap_or_default(),
            prev_kv: event.prev_kv.map(KeyValue::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventType, create: i64, modified: i64) -> Event {
        let kv = mvccpb::KeyValue {
            key: "k".into(),
            create_revision: create,
            mod_revision: modified,
            ..mvccpb::KeyValue::default()
        };
        mvccpb::Event { r#type: kind as i32, kv: Some(kv), prev_kv: None }.into()
    }

    #[test]
    fn watch_064_creations_and_modifications() {
        let (create, modify) = (event(EventType::Put, 3, 3), event(EventType::Put, 3, 4));
        let delete = event(EventType::Delete, 0, 5);
        assert!(create.is_create() && !create.is_modify() && !create.is_delete());
        assert!(!modify.is_create() && modify.is_modify() && !modify.is_delete());
        assert!(!delete.is_create() && !delete.is_modify() && delete.is_delete());
        assert_eq!(delete.revision(), Revision::new(5));
    }

    #[test]
    fn a_list_is_converted_in_place() {
        let events: Vec<mvccpb::Event> = (0..1_000).map(|_| mvccpb::Event::default()).collect();
        let list = events.as_ptr().addr();
        let events = etcdium_core::Events::from(events).map(Event::from);
        assert_eq!(events.as_ptr().addr(), list, "the list was copied");
    }
}
