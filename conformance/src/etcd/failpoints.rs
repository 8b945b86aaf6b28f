//! Places in a server where it waits or dies when it is told to, in servers built with them
//! ([`ClusterConfig::failpoints`](super::ClusterConfig::failpoints)).

use std::net::SocketAddr;

use super::{LaunchError, Member, http};

impl Member {
    /// Sets one of its failpoints, at once: `set_failpoint("beforeSendWatchResponse", r#"sleep("1s")"#)`. The term is
    /// that of [gofail](https://github.com/etcd-io/gofail/blob/master/doc/design.md): `sleep(ms)`, `panic`, `return(x)`,
    /// with `N*` or `P%` before it. It is gone after a restart.
    ///
    /// # Errors
    ///
    /// [`LaunchError::Io`] when the server was not built with failpoints, does not answer, or refuses the term. A
    /// failpoint that does not exist is refused.
    pub fn set_failpoint(&self, name: &str, term: &str) -> Result<(), LaunchError> {
        self.ask(name, "PUT", term).map(drop)
    }

    /// Clears one of its failpoints.
    ///
    /// # Errors
    ///
    /// [`LaunchError::Io`] as for [`set_failpoint`](Self::set_failpoint), and when it is not set.
    pub fn clear_failpoint(&self, name: &str) -> Result<(), LaunchError> {
        self.ask(name, "DELETE", "").map(drop)
    }

    /// How often one of its failpoints was reached since it was set, by whoever waits there as well.
    ///
    /// # Errors
    ///
    /// [`LaunchError::Io`] as for [`set_failpoint`](Self::set_failpoint), and when it is not set.
    pub fn failpoint_count(&self, name: &str) -> Result<u64, LaunchError> {
        let path = format!("{name}/count");
        let told = self.ask(&path, "GET", "")?;
        told.trim().parse().map_err(|_| {
            let error = std::io::Error::other(format!("no count: {told:?}"));
            LaunchError::io(format!("failpoint {name:?} of etcd {}", self.name()))(error)
        })
    }

    /// All its failpoints, by name.
    ///
    /// # Errors
    ///
    /// [`LaunchError::Io`] when the server was not built with failpoints or does not answer.
    pub fn failpoints(&self) -> Result<Vec<String>, LaunchError> {
        let page = self.ask("", "GET", "")?;
        let names = page.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name.to_owned());
        Ok(names.collect())
    }

    fn ask(&self, name: &str, method: &str, body: &str) -> Result<String, LaunchError> {
        let doing = || format!("failpoint {name:?} of etcd {}", self.name());
        let address: SocketAddr = self.failpoints_address().ok_or_else(|| {
            let error = std::io::Error::other("its cluster was not configured with failpoints");
            LaunchError::io(doing())(error)
        })?;
        http::ask(address, method, &format!("/{name}"), body).map_err(LaunchError::io(doing()))
    }
}
