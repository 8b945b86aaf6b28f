//! What the scripted client can be made to do wrong.

/// A mistake that clients of etcd make, or have made. The checkers have to notice each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A watch is resumed behind the revision of the latest header.
    ResumesFromHeader,
    /// A watch is resumed at the last event, not behind it.
    ResumesAtLast,
    /// A watch is resumed from where it began.
    RestartsFromStart,
    /// Fragments that a broken stream left are kept and joined with what comes later.
    KeepsFragments,
    /// Every fragment is delivered by itself.
    DeliversFragments,
    /// An answer to a request for progress is believed where it may overtake events.
    TrustsProgress,
    /// An answer to a request for progress is taken to include watches created after the request was sent.
    TrustsEarlierProgress,
    /// Progress of a member that is behind is passed on.
    ProgressGoesBack,
    /// Nobody looks at the cluster's id.
    IgnoresCluster,
    /// A compacted watch goes on from what is left.
    HidesCompaction,
    /// A proxy that says that a watch is compacted is believed, although what is next is not.
    BelievesCompaction,
    /// Previous values are not asked for again.
    ForgetsPrevious,
    /// Filters are not asked for again.
    ForgetsFilters,
    /// Events up to the revision of the created answer are delivered by a watch that starts now.
    KeepsEarlyEvents,
    /// The id asked for is taken to be the watch's.
    KeepsIds,
    /// Several watches are created at once, and answers are taken in the order of the requests.
    MixesUpCreations,
    /// A broken stream is not opened again.
    NeverResumes,
    /// A lease is counted from the arrival of the answer.
    CountsFromReceipt,
    /// An answer that says that a lease is gone is taken for a renewal.
    IgnoresZero,
    /// A lease is believed in until an answer says otherwise.
    NeverExpires,
    /// A late answer revives a lease that was given up.
    Revives,
    /// A lease is said not to exist when its stream broke.
    CallsItUnknown,
}

impl Mistake {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::ResumesFromHeader,
        Self::ResumesAtLast,
        Self::RestartsFromStart,
        Self::KeepsFragments,
        Self::DeliversFragments,
        Self::TrustsProgress,
        Self::TrustsEarlierProgress,
        Self::ProgressGoesBack,
        Self::IgnoresCluster,
        Self::HidesCompaction,
        Self::BelievesCompaction,
        Self::ForgetsPrevious,
        Self::ForgetsFilters,
        Self::KeepsEarlyEvents,
        Self::KeepsIds,
        Self::MixesUpCreations,
        Self::NeverResumes,
        Self::CountsFromReceipt,
        Self::IgnoresZero,
        Self::NeverExpires,
        Self::Revives,
        Self::CallsItUnknown,
    ];
}
