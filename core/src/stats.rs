//! Counters of a core.

/// Counters since the core was made, and sizes now. From [`Core::stats`](crate::Core::stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Operations started, those included that the core starts of its own accord.
    pub ops_started: u64,
    /// Operations that ended well.
    pub ops_succeeded: u64,
    /// Operations that ended with an error.
    pub ops_failed: u64,
    /// Operations cancelled before they ended.
    pub ops_cancelled: u64,
    /// Calls opened: streams, retries and health probes included.
    pub calls_opened: u64,
    /// Calls opened because an earlier call of the same operation failed.
    pub retries: u64,
    /// Health probes sent.
    pub probes: u64,
    /// Connection attempts.
    pub connects: u64,
    /// Connections lost after they were made.
    pub connections_lost: u64,
    /// Leases that are kept alive, or were until they were lost, and are not released, now.
    pub leases: usize,
    /// Operations neither taken nor cancelled, now.
    pub ops: usize,
    /// Streams neither taken to their end nor cancelled, now.
    pub streams: usize,
    /// Watches not taken to their end nor dropped, now.
    pub watches: usize,
    /// Streams that watches share, now: open or to be opened.
    pub watch_streams: usize,
    /// Operations that wait for a connection or for their turn, and streams that wait for a connection, now.
    pub waiting: usize,
    /// Timers armed, now, those included that mean nothing any more and were not yet removed.
    pub timers: usize,
    /// Bytes kept of responses of operations and of messages that are not yet whole, now.
    pub buffered_bytes: usize,
    /// Bytes kept of messages that streams and watches have not taken, now.
    pub queued_bytes: usize,
    /// Bytes of buffers kept to be used again, now; other parts of the program may still read what is in them.
    pub spare_bytes: usize,
    /// Calls open, now.
    pub in_flight: usize,
    /// Connections made or in the making, now.
    pub connections: usize,
    /// Endpoints that can take calls, now.
    pub ready_endpoints: usize,
}
