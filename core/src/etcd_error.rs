//! etcd's own errors: every text the servers send, with its code and what it proves.
//!
//! Source: etcd 3.7, `api/v3rpc/rpctypes/error.go`.

use std::fmt;

use crate::grpc::GrpcCode;

/// Whether a call that ended with an error may have changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// The answer proves that the request changed nothing.
    NotApplied,
    /// The answer proves nothing: the request may have been carried out, or may yet be.
    Unknown,
}

/// What a call does next when it may be sent again at all (it is repeatable, or provably changed nothing).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advice {
    /// The same request would meet the same answer: tell the user.
    Final,
    /// Any member may do better after a pause.
    Retry,
    /// Another member is likely to do better: try one first.
    Elsewhere,
}

/// Writes the enum and its lookups from one table: text, variant, code, applied, advice, meaning.
macro_rules! etcd_errors {
    ($($text:literal $name:ident $code:ident $applied:ident $advice:ident $meaning:literal;)*) => {
        /// An error that etcd itself reports, told apart by its text as Go's client does.
        ///
        /// The gRPC code on the wire is not always the one of etcd's table: `too many requests` and `not enough
        /// started members` travel as Unknown, as does `no leader` through the gRPC proxy. So the text decides, and
        /// [`code`](Self::code) is the table's.
        ///
        /// Go's lookup lacks six rows of the table (`InvalidClientApiVersion`, `WatchCanceled`, `PermissionNotGiven`,
        /// `TimeoutWaitAppliedIndex`, `Canceled`, `DeadlineExceeded`) and has no name for one more
        /// (`NotSupportedForLearner`). Here they are looked up like the others, so that no user ever compares strings.
        ///
        /// Names are those of Go's client without `Err`, in Rust's spelling.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum EtcdError {
            $(
                #[doc = concat!($meaning, "\n\nText: `", $text, "`.")]
                $name,
            )*
        }

        impl EtcdError {
            /// Every error, in the order of etcd's table.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The error of exactly this text, `None` for a text etcd's table lacks.
            ///
            /// A `None` is not the end of the classification: such an error keeps its text and the gRPC code it came
            /// with. Both unary statuses and the `cancel_reason` of watches carry these texts.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                // Compiled to comparisons of length first; a text listed twice would be an unreachable arm.
                match text {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }

            const fn row(self) -> (&'static str, GrpcCode, Applied, Advice) {
                match self {
                    $(Self::$name => ($text, GrpcCode::$code, Applied::$applied, Advice::$advice),)*
                }
            }
        }
    };
}

etcd_errors! {
    "etcdserver: key is not provided" EmptyKey InvalidArgument NotApplied Final
        "The request lacks a key.";
    "etcdserver: key not found" KeyNotFound InvalidArgument NotApplied Final
        "A put with `ignore_value` or `ignore_lease` names a key that does not exist.";
    "etcdserver: value is provided" ValueProvided InvalidArgument NotApplied Final
        "A put has both a value and `ignore_value`.";
    "etcdserver: lease is provided" LeaseProvided InvalidArgument NotApplied Final
        "A put has both a lease and `ignore_lease`.";
    "etcdserver: too many operations in txn request" TooManyOps InvalidArgument NotApplied Final
        "A transaction has more compares or operations than the server's `--max-txn-ops` (128 by default).";
    "etcdserver: duplicate key given in txn request" DuplicateKey InvalidArgument NotApplied Final
        "One branch of a transaction writes a key twice.";
    "etcdserver: invalid client api version" InvalidClientApiVersion InvalidArgument NotApplied Final
        "The `client-api-version` header is not valid UTF-8.";
    "etcdserver: invalid sort option" InvalidSortOption InvalidArgument NotApplied Final
        "A range asks for a sort order or target that does not exist.";
    "etcdserver: mvcc: required revision has been compacted" Compacted OutOfRange NotApplied Final
        "The revision asked for is older than the last compaction.";
    "etcdserver: mvcc: required revision is a future revision" FutureRev OutOfRange NotApplied Final
        "The revision asked for is newer than the store.";
    "etcdserver: mvcc: database space exceeded" NoSpace ResourceExhausted Unknown Final
        "The database is over its quota: only reads and deletes go on until space is freed and the alarm is disarmed.";
    "etcdserver: requested lease not found" LeaseNotFound NotFound NotApplied Final
        "The lease does not exist: never granted, revoked or expired.";
    "etcdserver: lease already exists" LeaseExist FailedPrecondition NotApplied Final
        "A grant chose an id that is taken.";
    "etcdserver: too large lease TTL" LeaseTtlTooLarge OutOfRange NotApplied Final
        "A grant asks for more than 9,000,000,000 seconds.";
    "etcdserver: watch canceled" WatchCanceled Canceled Unknown Final
        "The server ended a watch.";
    "etcdserver: member ID already exist" MemberExist FailedPrecondition NotApplied Final
        "The member to add is in the cluster.";
    "etcdserver: Peer URLs already exists" PeerUrlExist FailedPrecondition NotApplied Final
        "Another member has one of the peer URLs.";
    "etcdserver: re-configuration failed due to not enough started members"
        MemberNotEnoughStarted FailedPrecondition NotApplied Final
        "The change of membership would leave too few started members for a quorum. Travels with code Unknown.";
    "etcdserver: given member URLs are invalid" MemberBadUrls InvalidArgument NotApplied Final
        "A peer URL is malformed.";
    "etcdserver: member not found" MemberNotFound NotFound NotApplied Final
        "No member has this id.";
    "etcdserver: can only promote a learner member" MemberNotLearner FailedPrecondition NotApplied Final
        "The member to promote votes already.";
    "etcdserver: can only promote a learner member which is in sync with leader"
        MemberLearnerNotReady FailedPrecondition NotApplied Final
        "The learner to promote has not caught up with the leader.";
    "etcdserver: too many learner members in cluster" TooManyLearners FailedPrecondition NotApplied Final
        "The cluster has as many learners as `--max-learners` allows (1 by default).";
    "etcdserver: cluster ID mismatch" ClusterIdMismatch FailedPrecondition NotApplied Final
        "The request is meant for another cluster.";
    "etcdserver: request is too large" RequestTooLarge InvalidArgument NotApplied Final
        "The request is over the server's `--max-request-bytes` (1.5 MiB by default).";
    "etcdserver: too many requests" TooManyRequests ResourceExhausted NotApplied Retry
        "The member has too many requests waiting to be applied. Travels with code Unknown.";
    "etcdserver: root user does not exist" RootUserNotExist FailedPrecondition NotApplied Final
        "Authentication cannot be enabled without a user `root`.";
    "etcdserver: root user does not have root role" RootRoleNotExist FailedPrecondition NotApplied Final
        "Authentication cannot be enabled while user `root` lacks the role `root`.";
    "etcdserver: user name already exists" UserAlreadyExist FailedPrecondition NotApplied Final
        "The user to add exists.";
    "etcdserver: user name is empty" UserEmpty InvalidArgument NotApplied Final
        "The user name is empty, or authentication is enabled and the request carries no token.";
    "etcdserver: user name not found" UserNotFound FailedPrecondition NotApplied Final
        "No user has this name.";
    "etcdserver: role name already exists" RoleAlreadyExist FailedPrecondition NotApplied Final
        "The role to add exists.";
    "etcdserver: role name not found" RoleNotFound FailedPrecondition NotApplied Final
        "No role has this name.";
    "etcdserver: role name is empty" RoleEmpty InvalidArgument NotApplied Final
        "The role name is empty.";
    "etcdserver: authentication failed, invalid user ID or password" AuthFailed InvalidArgument NotApplied Final
        "The user does not exist or the password is wrong.";
    "etcdserver: permission not given" PermissionNotGiven InvalidArgument NotApplied Final
        "A grant of permission to a role names no permission.";
    "etcdserver: permission denied" PermissionDenied PermissionDenied NotApplied Final
        "The user may not do this with these keys, or is not an administrator.";
    "etcdserver: role is not granted to the user" RoleNotGranted FailedPrecondition NotApplied Final
        "The role to revoke was never granted to the user.";
    "etcdserver: permission is not granted to the role" PermissionNotGranted FailedPrecondition NotApplied Final
        "The permission to revoke was never granted to the role.";
    "etcdserver: authentication is not enabled" AuthNotEnabled FailedPrecondition NotApplied Final
        "The request makes sense only while authentication is enabled.";
    "etcdserver: invalid auth token" InvalidAuthToken Unauthenticated NotApplied Final
        "The token is unknown to the member or has expired.";
    "etcdserver: invalid auth management" InvalidAuthMgmt InvalidArgument NotApplied Final
        "The change would break authentication, for example by deleting user or role `root` while it is enabled.";
    "etcdserver: revision of auth store is old" AuthOldRevision InvalidArgument NotApplied Final
        "Users or roles changed after the token was issued or the request was checked.";
    "etcdserver: no leader" NoLeader Unavailable NotApplied Elsewhere
        "The member knows no leader.";
    "etcdserver: not leader" NotLeader FailedPrecondition NotApplied Elsewhere
        "The request is served by the leader alone and this member is not the leader.";
    "etcdserver: leader changed" LeaderChanged Unavailable Unknown Elsewhere
        "The leader changed while the request was under way.";
    "etcdserver: not capable" NotCapable FailedPrecondition NotApplied Elsewhere
        "The cluster's version, as far as this member knows it, is too old for this request.";
    "etcdserver: server stopped" Stopped Unavailable Unknown Elsewhere
        "The member is shutting down.";
    "etcdserver: request timed out" Timeout Unavailable Unknown Elsewhere
        "The cluster did not agree on the request in time.";
    "etcdserver: request timed out, possibly due to previous leader failure"
        TimeoutDueToLeaderFail Unavailable Unknown Elsewhere
        "The cluster did not agree in time; the leader was lost shortly before.";
    "etcdserver: request timed out, possibly due to connection lost"
        TimeoutDueToConnectionLost Unavailable Unknown Elsewhere
        "The cluster did not agree in time; the member has lost touch with a quorum.";
    "etcdserver: request timed out, waiting for the applied index took too long"
        TimeoutWaitAppliedIndex Unavailable Unknown Elsewhere
        "The member lags behind and did not catch up in time.";
    "etcdserver: unhealthy cluster" Unhealthy Unavailable Unknown Elsewhere
        "The cluster is not healthy enough for this change of membership.";
    "etcdserver: corrupt cluster" Corrupt DataLoss Unknown Final
        "The corruption alarm is raised: members disagree about the data.";
    "etcdserver: rpc not supported for learner" NotSupportedForLearner FailedPrecondition NotApplied Elsewhere
        "The member is a learner, which serves little besides serializable reads.";
    "etcdserver: bad leader transferee" BadLeaderTransferee FailedPrecondition NotApplied Final
        "The member that should become leader does not exist or cannot lead.";
    "etcdserver: wrong downgrade target version format" WrongDowngradeVersionFormat InvalidArgument NotApplied Final
        "The version to downgrade to is malformed.";
    "etcdserver: invalid downgrade target version" InvalidDowngradeTargetVersion InvalidArgument NotApplied Final
        "The version to downgrade to is not one minor version below the cluster's.";
    "etcdserver: cluster version not found during downgrade"
        ClusterVersionUnavailable FailedPrecondition NotApplied Final
        "The cluster has not settled its version yet.";
    "etcdserver: cluster has a downgrade job in progress" DowngradeInProcess FailedPrecondition NotApplied Final
        "A downgrade is under way.";
    "etcdserver: no inflight downgrade job" NoInflightDowngrade FailedPrecondition NotApplied Final
        "There is no downgrade to cancel.";
    "etcdserver: request canceled" Canceled Canceled Unknown Retry
        "The request was cancelled inside the server.";
    "etcdserver: context deadline exceeded" DeadlineExceeded DeadlineExceeded Unknown Retry
        "The request's deadline passed inside the server.";
}

impl EtcdError {
    /// The code of etcd's table, which the wire does not always carry.
    #[must_use]
    pub const fn code(self) -> GrpcCode {
        self.row().1
    }

    /// The exact text.
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.row().0
    }

    /// Whether an answer with this error proves that a unary write changed nothing.
    ///
    /// It does where etcd answers before the request enters the log (interceptors, argument checks, `no leader`, `not
    /// leader`, `too many requests`), and where applying it refuses deterministically before the first change (leases,
    /// members, users, roles, permissions, revisions, tokens).
    ///
    /// It does not where the server stopped waiting for a request that is in the log or may still get there: the
    /// time-outs, leader changed, stopped, cancelled, deadline exceeded. Nor where the cluster says of itself that it
    /// is unhealthy or corrupt, nor for a watch, which is no write. [`NoSpace`](Self::NoSpace) mostly comes from a
    /// check beforehand and is Unknown all the same: the request that crosses the quota while it is applied *is
    /// applied*, and its answer is replaced by this error (`server/etcdserver/apply/quota.go`, `quotaApplierV3`).
    #[must_use]
    pub(crate) const fn applied(self) -> Applied {
        self.row().2
    }

    /// What to do next with a call that may be sent again.
    ///
    /// Elsewhere: the member's own state is the trouble (no leader, not the leader, a learner, an old version,
    /// stopping, lagging, cut off). Retry: the trouble is load, and passes; a request the server gave up although it still
    /// has time is repeated likewise, as the Go client does (`client/v3/retry_interceptor.go`). Final: every member would
    /// answer alike.
    /// Refused tokens are final here, because the same token would be refused again.
    #[must_use]
    pub(crate) const fn advice(self) -> Advice {
        self.row().3
    }
}

impl fmt::Display for EtcdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

impl std::error::Error for EtcdError {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Advice::*, Applied::*, EtcdError as E, *};

    /// etcd's table with our verdicts, written out: error, code, applied, advice, text behind `etcdserver: `.
    #[rustfmt::skip]
    const TABLE: &[(E, u32, Applied, Advice, &str)] = &[
        (E::EmptyKey, 3, NotApplied, Final, "key is not provided"),
        (E::KeyNotFound, 3, NotApplied, Final, "key not found"),
        (E::ValueProvided, 3, NotApplied, Final, "value is provided"),
        (E::LeaseProvided, 3, NotApplied, Final, "lease is provided"),
        (E::TooManyOps, 3, NotApplied, Final, "too many operations in txn request"),
        (E::DuplicateKey, 3, NotApplied, Final, "duplicate key given in txn request"),
        (E::InvalidClientApiVersion, 3, NotApplied, Final, "invalid client api version"),
        (E::InvalidSortOption, 3, NotApplied, Final, "invalid sort option"),
        (E::Compacted, 11, NotApplied, Final, "mvcc: required revision has been compacted"),
        (E::FutureRev, 11, NotApplied, Final, "mvcc: required revision is a future revision"),
        (E::NoSpace, 8, Unknown, Final, "mvcc: database space exceeded"),
        (E::LeaseNotFound, 5, NotApplied, Final, "requested lease not found"),
        (E::LeaseExist, 9, NotApplied, Final, "lease already exists"),
        (E::LeaseTtlTooLarge, 11, NotApplied, Final, "too large lease TTL"),
        (E::WatchCanceled, 1, Unknown, Final, "watch canceled"),
        (E::MemberExist, 9, NotApplied, Final, "member ID already exist"),
        (E::PeerUrlExist, 9, NotApplied, Final, "Peer URLs already exists"),
        (E::MemberNotEnoughStarted, 9, NotApplied, Final, "re-configuration failed due to not enough started members"),
        (E::MemberBadUrls, 3, NotApplied, Final, "given member URLs are invalid"),
        (E::MemberNotFound, 5, NotApplied, Final, "member not found"),
        (E::MemberNotLearner, 9, NotApplied, Final, "can only promote a learner member"),
        (E::MemberLearnerNotReady, 9, NotApplied, Final, "can only promote a learner member which is in sync with leader"),
        (E::TooManyLearners, 9, NotApplied, Final, "too many learner members in cluster"),
        (E::ClusterIdMismatch, 9, NotApplied, Final, "cluster ID mismatch"),
        (E::RequestTooLarge, 3, NotApplied, Final, "request is too large"),
        (E::TooManyRequests, 8, NotApplied, Retry, "too many requests"),
        (E::RootUserNotExist, 9, NotApplied, Final, "root user does not exist"),
        (E::RootRoleNotExist, 9, NotApplied, Final, "root user does not have root role"),
        (E::UserAlreadyExist, 9, NotApplied, Final, "user name already exists"),
        (E::UserEmpty, 3, NotApplied, Final, "user name is empty"),
        (E::UserNotFound, 9, NotApplied, Final, "user name not found"),
        (E::RoleAlreadyExist, 9, NotApplied, Final, "role name already exists"),
        (E::RoleNotFound, 9, NotApplied, Final, "role name not found"),
        (E::RoleEmpty, 3, NotApplied, Final, "role name is empty"),
        (E::AuthFailed, 3, NotApplied, Final, "authentication failed, invalid user ID or password"),
        (E::PermissionNotGiven, 3, NotApplied, Final, "permission not given"),
        (E::PermissionDenied, 7, NotApplied, Final, "permission denied"),
        (E::RoleNotGranted, 9, NotApplied, Final, "role is not granted to the user"),
        (E::PermissionNotGranted, 9, NotApplied, Final, "permission is not granted to the role"),
        (E::AuthNotEnabled, 9, NotApplied, Final, "authentication is not enabled"),
        (E::InvalidAuthToken, 16, NotApplied, Final, "invalid auth token"),
        (E::InvalidAuthMgmt, 3, NotApplied, Final, "invalid auth management"),
        (E::AuthOldRevision, 3, NotApplied, Final, "revision of auth store is old"),
        (E::NoLeader, 14, NotApplied, Elsewhere, "no leader"),
        (E::NotLeader, 9, NotApplied, Elsewhere, "not leader"),
        (E::LeaderChanged, 14, Unknown, Elsewhere, "leader changed"),
        (E::NotCapable, 9, NotApplied, Elsewhere, "not capable"),
        (E::Stopped, 14, Unknown, Elsewhere, "server stopped"),
        (E::Timeout, 14, Unknown, Elsewhere, "request timed out"),
        (E::TimeoutDueToLeaderFail, 14, Unknown, Elsewhere, "request timed out, possibly due to previous leader failure"),
        (E::TimeoutDueToConnectionLost, 14, Unknown, Elsewhere, "request timed out, possibly due to connection lost"),
        (E::TimeoutWaitAppliedIndex, 14, Unknown, Elsewhere, "request timed out, waiting for the applied index took too long"),
        (E::Unhealthy, 14, Unknown, Elsewhere, "unhealthy cluster"),
        (E::Corrupt, 15, Unknown, Final, "corrupt cluster"),
        (E::NotSupportedForLearner, 9, NotApplied, Elsewhere, "rpc not supported for learner"),
        (E::BadLeaderTransferee, 9, NotApplied, Final, "bad leader transferee"),
        (E::WrongDowngradeVersionFormat, 3, NotApplied, Final, "wrong downgrade target version format"),
        (E::InvalidDowngradeTargetVersion, 3, NotApplied, Final, "invalid downgrade target version"),
        (E::ClusterVersionUnavailable, 9, NotApplied, Final, "cluster version not found during downgrade"),
        (E::DowngradeInProcess, 9, NotApplied, Final, "cluster has a downgrade job in progress"),
        (E::NoInflightDowngrade, 9, NotApplied, Final, "no inflight downgrade job"),
        (E::Canceled, 1, Unknown, Retry, "request canceled"),
        (E::DeadlineExceeded, 4, Unknown, Retry, "context deadline exceeded"),
    ];

    #[test]
    fn every_row_is_as_written() {
        assert_eq!(TABLE.len(), 63);
        assert_eq!(E::ALL, TABLE.iter().map(|row| row.0).collect::<Vec<_>>());
        for &(error, code, applied, advice, text) in TABLE {
            let text = format!("etcdserver: {text}");
            assert_eq!(E::from_text(&text), Some(error), "{text}");
            assert_eq!(error.text(), text);
            assert_eq!(error.to_string(), text);
            assert_eq!(error.code().number(), code, "{error:?}");
            assert_eq!(error.applied(), applied, "{error:?}");
            assert_eq!(error.advice(), advice, "{error:?}");
        }
    }

    #[test]
    fn no_text_and_no_error_stands_twice() {
        assert_eq!(E::ALL.iter().collect::<BTreeSet<_>>().len(), E::ALL.len());
        assert_eq!(E::ALL.iter().map(|error| error.text()).collect::<BTreeSet<_>>().len(), E::ALL.len());
    }

    #[test]
    fn only_exact_texts_count() {
        for text in [
            "",
            "no leader",
            "etcdserver: no leade",
            "etcdserver: no leader ",
            "etcdserver: No leader",
            "rpc error: code = Unavailable desc = etcdserver: no leader",
            "not a primary lessor",
            "etcdserver: unknown method",
            "context canceled",
            "context deadline exceeded",
        ] {
            assert_eq!(E::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn a_write_that_may_have_happened_is_never_called_unapplied() {
        for error in E::ALL.iter().filter(|error| error.text().contains("timed out")) {
            assert_eq!(error.applied(), Unknown, "{error:?}");
        }
    }
}
