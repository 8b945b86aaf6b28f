//! What goes wrong with servers.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use super::provision::ProvisionError;

/// A server could not be started or controlled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LaunchError {
    /// There is no binary to start.
    Provision(Arc<ProvisionError>),
    /// The operating system refused something.
    Io {
        /// What was being done, in words.
        doing: String,
        /// The refusal.
        error: Arc<io::Error>,
    },
    /// This version of etcd refuses a command-line flag or its value.
    Flag {
        /// The flag without dashes.
        flag: String,
        /// What etcd said about it.
        reason: String,
    },
    /// A server ended by itself.
    Exited {
        /// The name of the member.
        member: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// A condition did not come true in time.
    TimedOut {
        /// What was waited for and what stood in the way.
        waiting_for: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The member has no running server to act on.
    NotRunning {
        /// The name of the member.
        member: String,
    },
}

impl LaunchError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        |error| Self::Io { doing: doing.into(), error: Arc::new(error) }
    }
}

impl From<Arc<ProvisionError>> for LaunchError {
    fn from(error: Arc<ProvisionError>) -> Self {
        Self::Provision(error)
    }
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provision(error) => error.fmt(f),
            Self::Io { doing, error } => write!(f, "{doing}: {error}"),
            Self::Flag { flag, reason } => write!(f, "etcd refuses --{flag}: {reason}"),
            Self::Exited { member, status, log } => {
                write!(f, "etcd {member} ended by itself ({status}); the end of its log:\n{log}")
            }
            Self::TimedOut { waiting_for, after } => {
                write!(f, "not in {:.1} s: {waiting_for}", after.as_secs_f64())
            }
            Self::NotRunning { member } => write!(f, "etcd {member} is not running"),
        }
    }
}

impl std::error::Error for LaunchError {}
