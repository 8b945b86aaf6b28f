//! What stands between a case and its servers.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use super::{Failure, Need, Scenario};
use crate::etcd::{Cluster, GrpcProxy};
use crate::proxy::Proxy;

/// The proxies of one run of a case; most have none. They end with it.
#[derive(Debug, Default)]
pub(crate) struct Front {
    /// One before each endpoint.
    pub(super) proxies: Vec<Proxy>,
    pub(super) grpc_proxy: Option<GrpcProxy>,
}

impl Front {
    /// What a case needs, and the endpoints that it is to use.
    pub(crate) fn new(
        case: &Scenario,
        direct: &[String],
        cluster: Option<&Cluster>,
    ) -> Result<(Self, Vec<String>), Failure> {
        let (mut front, mut endpoints) = (Self::default(), direct.to_vec());
        if case.needs.contains(&Need::GrpcProxy) {
            let cluster = cluster.ok_or_else(|| Failure::new("the servers are not ours"))?;
            let proxy = GrpcProxy::start(cluster)?;
            endpoints = vec![proxy.endpoint()];
            front.grpc_proxy = Some(proxy);
        }
        if case.needs.contains(&Need::Proxy) {
            let proxies = endpoints.iter().map(|endpoint| Proxy::start(resolve(endpoint)?));
            front.proxies = proxies
                .collect::<io::Result<_>>()
                .map_err(|error| Failure::new(format!("proxies before {endpoints:?}: {error}")))?;
            endpoints = front.proxies.iter().map(Proxy::endpoint).collect();
        }
        Ok((front, endpoints))
    }
}

/// The address of an endpoint that speaks plain HTTP.
fn resolve(endpoint: &str) -> io::Result<SocketAddr> {
    if endpoint.starts_with("https:") {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "a name behind TLS cannot have a proxy"));
    }
    let authority = endpoint.strip_prefix("http://").unwrap_or(endpoint);
    authority.to_socket_addrs()?.next().ok_or_else(|| io::ErrorKind::NotFound.into())
}
