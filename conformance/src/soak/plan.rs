//! What a soak does: how long, how much, and the shape of each watch, drawn from the seed.

use std::fmt;
use std::time::Duration;

use etcdium_client::{Client, Event, EventKind, Revision, Watch};
use etcdium_sim::rng::Rng;

use crate::etcd::provision::Request;

/// What every key of a soak begins with.
pub(super) const ROOT: &str = "soak/";
/// What the keys of leases begin with.
pub(super) const LEASES: &str = "soak/lease/";
/// Groups of keys.
pub(super) const SPACES: usize = 8;
/// Keys of a group.
pub(super) const KEYS: usize = 12;

/// A soak.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub etcd: Request,
    /// Decides the shapes of watches, what writers write, and the faults; not when they meet.
    pub seed: u64,
    /// How long faults and writers go on.
    pub time: Duration,
    /// Watches, followers among them.
    pub watches: usize,
    /// Leases.
    pub leases: usize,
    /// Writers.
    pub writers: usize,
}

impl Plan {
    /// The soak of this seed: 200 watches, 500 leases, 16 writers.
    pub fn new(etcd: Request, seed: u64, time: Duration) -> Self {
        Self { etcd, seed, time, watches: 200, leases: 500, writers: 16 }
    }
}

/// The key of a number in a group.
pub(super) fn key(space: usize, number: usize) -> String {
    format!("{ROOT}s{space}/k{number:02}")
}

/// What a group's keys begin with.
pub(super) fn space(space: usize) -> String {
    format!("{ROOT}s{space}/")
}

/// The key of each group that is written at the end.
pub(super) fn last_key(space: usize) -> String {
    format!("{ROOT}s{space}/last")
}

/// Which keys are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    One(String),
    Prefix(String),
    /// From the first up to and without the second.
    Range(String, String),
}

impl Keys {
    fn draw(rng: &mut Rng) -> Self {
        let group = rng.index(SPACES);
        match rng.below(10) {
            0..2 => Self::Prefix(ROOT.to_owned()),
            2..5 => Self::Prefix(space(group)),
            5..7 => {
                let first = rng.index(KEYS);
                Self::Range(key(group, first), key(group, first + 1 + rng.index(KEYS)))
            }
            7 => {
                let first = rng.index(SPACES - 1);
                Self::Range(space(first), space(first + 1 + rng.index(SPACES - 1 - first)))
            }
            8 => Self::One(key(group, rng.index(KEYS))),
            _ => Self::One(last_key(group)),
        }
    }

    /// Whether a key is one of them.
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::One(one) => key == one.as_bytes(),
            Self::Prefix(prefix) => key.starts_with(prefix.as_bytes()),
            Self::Range(first, end) => first.as_bytes() <= key && key < end.as_bytes(),
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(key) => write!(f, "{key}"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Range(first, end) => write!(f, "{first}..{end}"),
        }
    }
}

/// How a watch is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// At once.
    Prompt,
    /// With long pauses, and a small buffer.
    Slow,
}

/// One watch, as it is asked for each time.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) keys: Keys,
    prev_kv: bool,
    puts: bool,
    deletes: bool,
    fragment: bool,
    notices: bool,
    progress_notify: bool,
    max_buffer: usize,
    pub(super) reader: Reader,
    /// It is ended and made again now and then.
    pub(super) restless: bool,
    /// It asks for progress now and then.
    pub(super) curious: bool,
}

impl Shape {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let filter = rng.below(10);
        let reader = if rng.chance(250) { Reader::Slow } else { Reader::Prompt };
        Self {
            keys: Keys::draw(rng),
            prev_kv: rng.chance(400),
            puts: filter != 0,
            deletes: filter != 1,
            fragment: rng.chance(800),
            notices: rng.chance(600),
            progress_notify: rng.chance(300),
            max_buffer: match reader {
                Reader::Slow => 20_000 + rng.index(200_000),
                Reader::Prompt => 1 << 20,
            },
            reader,
            restless: rng.chance(350),
            curious: rng.chance(250),
        }
    }

    /// A watch of this shape.
    pub(super) fn watch(&self, client: &Client, from: Revision) -> Watch {
        let mut watch = match &self.keys {
            Keys::One(key) => client.watch(key.as_str()),
            Keys::Prefix(prefix) => client.watch(prefix.as_str()).prefix(),
            Keys::Range(first, end) => client.watch(first.as_str()).range(end.as_str()),
        };
        watch = watch.from_revision(from).fragment(self.fragment).max_buffer(self.max_buffer);
        if self.prev_kv {
            watch = watch.prev_kv();
        }
        if !self.puts {
            watch = watch.no_puts();
        }
        if !self.deletes {
            watch = watch.no_deletes();
        }
        if self.notices {
            watch = watch.connection_notices();
        }
        if self.progress_notify {
            watch = watch.progress_notify();
        }
        watch
    }

    /// What the watch has to tell of an event of the history, in which every event has its pair before; nothing if the
    /// event is none of its own.
    pub(super) fn sees(&self, event: &Event) -> Option<Event> {
        let wanted = match event.kind {
            EventKind::Delete => self.deletes,
            _ => self.puts,
        };
        if !wanted || !self.keys.contains(&event.kv.key) {
            return None;
        }
        let before = event.prev_kv.as_ref().filter(|_| self.prev_kv);
        Some(Event::new(event.kind, event.kv.clone(), before.cloned()))
    }

    /// Whether it leaves nothing out.
    #[cfg(test)]
    pub(super) fn takes_all(&self) -> bool {
        self.puts && self.deletes
    }

    /// Whether an event can be what it is said to be, as far as it can be judged by itself. That the pair before is
    /// missing is left to the verdict.
    pub(super) fn is_plausible(&self, event: &Event) -> bool {
        let now = &event.kv;
        let follows = event.prev_kv.as_ref().is_none_or(|before| {
            let version = if event.is_delete() { before.version } else { now.version - 1 };
            before.key == now.key && before.mod_revision < now.mod_revision && before.version == version
        });
        follows && (self.prev_kv || event.prev_kv.is_none()) && self.keys.contains(&now.key)
    }

    /// Whether the last write is among what it tells.
    pub(super) fn sees_last(&self) -> bool {
        self.puts && (0..SPACES).any(|group| self.keys.contains(last_key(group).as_bytes()))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.keys)?;
        let options = [
            (self.prev_kv, "prev_kv"),
            (!self.puts, "no puts"),
            (!self.deletes, "no deletes"),
            (!self.fragment, "no fragments"),
            (self.progress_notify, "progress_notify"),
            (self.reader == Reader::Slow, "slow"),
            (self.restless, "restless"),
            (self.curious, "curious"),
        ];
        for (_, option) in options.iter().filter(|(on, _)| *on) {
            write!(f, ", {option}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_differ_and_a_seed_decides() {
        let shapes = |seed| -> Vec<String> {
            (0..200).map(|index| Shape::draw(&mut Rng::of(&[seed, index])).to_string()).collect()
        };
        assert_eq!(shapes(1), shapes(1));
        let all = shapes(2);
        for wanted in ["prev_kv", "no puts", "no deletes", "slow", "restless", "curious", "..", "*", "last"] {
            assert!(all.iter().any(|shape| shape.contains(wanted)), "{wanted}");
        }
    }

    #[test]
    fn keys_contain_what_a_server_would_send() {
        let range = Keys::Range("a".to_owned(), "c".to_owned());
        assert!(range.contains(b"a") && range.contains(b"b/x") && !range.contains(b"c"));
        assert!(
            Keys::Prefix("a/".to_owned()).contains(b"a/b") && !Keys::Prefix("a/".to_owned()).contains(b"a")
        );
    }
}
