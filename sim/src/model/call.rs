//! Calls as a cluster sees them: messages in, messages and a status out.

use std::time::Duration;

use bytes::Bytes;

use super::Status;

/// Names one call. Chosen by whoever opens it, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What a call starts with: its head.
#[derive(Debug, Clone, Copy)]
pub struct CallStart<'a> {
    /// The new call.
    pub call: CallId,
    /// Which member is asked, counted from 0.
    pub member: usize,
    /// HTTP/2 path, such as `/etcdserverpb.KV/Range`.
    pub path: &'a str,
    /// Metadata `hasleader: true` was sent.
    pub require_leader: bool,
    /// What `grpc-timeout` says, from the moment of opening. `None`: no limit.
    pub timeout: Option<Duration>,
}

/// What the cluster sends back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// One message of a call, without gRPC's five bytes before it.
    Message {
        /// The call.
        call: CallId,
        /// The encoded message.
        message: Bytes,
    },
    /// The call is over; its id is forgotten.
    End {
        /// The call.
        call: CallId,
        /// How it ended.
        status: Status,
    },
}
