//! Compaction of the history.

use etcdium_core::{InvalidRequest, Revision};
use etcdium_proto::etcdserverpb::CompactionRequest;

use super::CompactResponse;
use crate::request::request_builder;
use crate::{Bound, Client, Unbound};

/// A compaction: [`Client::compact`], or detached [`Compact::new`].
///
/// # Errors
/// [`InvalidRequest`] before anything is sent for a negative revision. From etcd ([`EtcdError`](crate::EtcdError)):
/// `Compacted` when the revision is compacted already, `FutureRev` when it is yet to come, `PermissionDenied`.
/// [`Error::outcome`](crate::Error::outcome) tells whether a failed compaction may have been applied.
///
/// # Cancel safety
/// Dropping the future gives the call up. If it was sent by then, the compaction may have been applied all the same.
///
/// The Go client's `Compact` (`client/v3/kv.go`, `client/v3/compact_op.go`).
#[derive(Clone, Debug)]
#[must_use = "a request does nothing unless awaited or sent"]
pub struct Compact<C = Unbound> {
    request: CompactionRequest,
    options: C,
}

impl Client {
    /// Discards the history before `revision`: older states can no longer be read or watched from. The state at
    /// `revision` itself stays. [`Compact`] says more about options, errors and cancelling.
    ///
    /// ```no_run
    /// # async fn example(client: etcdium_client::Client) -> Result<(), etcdium_client::Error> {
    /// let now = client.get("config").await?.header.revision;
    /// client.compact(now).physical().await?;
    /// # Ok(()) }
    /// ```
    pub fn compact(&self, revision: impl Into<Revision>) -> Compact<Bound> {
        Compact::bind(revision.into(), Bound::new(self))
    }
}

impl Compact {
    /// A compaction that belongs to no client, for a caller that sends the message of
    /// [`into_request`](Self::into_request) itself.
    pub fn new(revision: impl Into<Revision>) -> Self {
        Self::bind(revision.into(), Unbound)
    }
}

impl<C> Compact<C> {
    fn bind(revision: Revision, options: C) -> Self {
        Self { request: CompactionRequest { revision: revision.get(), physical: false }, options }
    }

    /// Answers only after the entries are gone from the member's database. Default: as soon as they can no longer be
    /// read, the removal going on behind.
    pub fn physical(mut self) -> Self {
        self.request.physical = true;
        self
    }

    fn build(self) -> (Result<CompactionRequest, InvalidRequest>, C) {
        let request = super::not_negative("revision", self.request.revision).map(|()| self.request);
        (request, self.options)
    }
}

request_builder!(Compact: CompactionRequest -> CompactResponse);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::tests::invalid;

    #[test]
    fn kv_050_compaction_on_the_wire() {
        let request = Compact::new(100).physical().into_request().unwrap();
        assert_eq!(request, CompactionRequest { revision: 100, physical: true });
        let request = Compact::new(Revision::new(7)).into_request().unwrap();
        assert_eq!(request, CompactionRequest { revision: 7, physical: false });
    }

    #[test]
    fn a_negative_revision_is_refused() {
        let refused = invalid(Compact::new(-1).into_request());
        assert!(matches!(refused, InvalidRequest::Value { option: "revision", .. }), "{refused:?}");
    }
}
