//! What a watch of the core is asked to be, and what its application does with it.

use std::time::Duration;

/// A watch. Keys and revisions are made concrete when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchPlan {
    /// Which keys.
    pub keys: Keys,
    /// From when on.
    pub begin: Begin,
    /// How it is asked for.
    pub how: How,
    /// How its items are taken.
    pub reader: Reader,
    /// How its application ends it, so long after the start.
    pub end: Option<(Duration, Ending)>,
}

/// Keys of a watch, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// One.
    One(u8),
    /// From the first up to and without the second.
    Range(u8, u8),
    /// From this one on.
    From(u8),
    /// All, by their prefix.
    All,
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Behind what there is when it is confirmed.
    Now,
    /// So many revisions ago.
    Past(u8),
    /// In so many revisions.
    Future(u8),
}

/// How a watch is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct How {
    /// Not the writes.
    pub no_put: bool,
    /// Not the deletions.
    pub no_delete: bool,
    /// With what was there before.
    pub prev_kv: bool,
    /// With progress from time to time.
    pub progress_notify: bool,
    /// Large responses may come in fragments.
    pub fragment: bool,
    /// The confirmation is told.
    pub created: bool,
    /// Trouble with the connection is told.
    pub notices: bool,
    /// The room for what is not taken; `None` is the core's own.
    pub max_buffer: Option<u16>,
    /// A member without a leader has to refuse.
    pub require_leader: bool,
    /// Which metadata it has; 0 is none.
    pub lane: u8,
    /// This endpoint and no other, if it is configured then.
    pub endpoint: Option<u8>,
}

impl How {
    /// As the core has it.
    pub const PLAIN: Self = Self {
        no_put: false,
        no_delete: false,
        prev_kv: false,
        progress_notify: false,
        fragment: true,
        created: false,
        notices: false,
        max_buffer: None,
        require_leader: true,
        lane: 0,
        endpoint: None,
    };
}

/// How items are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// All at once.
    Quick,
    /// One at a time.
    Slow(Duration),
    /// All at once, but after so many items none for this long.
    Stops(u8, Duration),
}

/// How an application ends a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It waits until the server has confirmed.
    Cancel,
    /// It forgets it.
    Drop,
}
