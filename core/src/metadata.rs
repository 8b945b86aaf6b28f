//! Header fields of requests: the user's metadata, and those that gRPC and etcd ask for.

use core::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};

use crate::Config;
use crate::error::InvalidRequest;

/// gRPC metadata of the user's own: pairs of name and ASCII value, sent unchanged.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    pairs: Vec<(HeaderName, HeaderValue)>,
}

/// Names that gRPC, HTTP/2 or this client set themselves.
const RESERVED: &[&str] = &[
    "te",
    "content-type",
    "content-length",
    "connection",
    "host",
    "hasleader",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "client-api-version",
];

impl Metadata {
    /// No pairs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pair; a name may be given several times.
    ///
    /// # Errors
    /// [`InvalidRequest::Metadata`] when the name is not a lower-case header name, is reserved (`grpc-…`, `te`,
    /// `content-type`, `hasleader`, `client-api-version`, HTTP's connection fields) or ends in `-bin`, or when the
    /// value is not visible ASCII.
    pub fn with(mut self, name: &str, value: &str) -> Result<Self, InvalidRequest> {
        let refuse = |reason| InvalidRequest::Metadata { name: name.to_owned(), reason };
        if name.starts_with("grpc-") || RESERVED.contains(&name) {
            return Err(refuse("the name is reserved"));
        }
        if name.ends_with("-bin") {
            return Err(refuse("binary metadata is not supported"));
        }
        let key = HeaderName::from_lowercase(name.as_bytes()).map_err(|_| refuse("not a header name"))?;
        let value = HeaderValue::from_str(value).map_err(|_| refuse("the value is not visible ASCII"))?;
        self.pairs.push((key, value));
        Ok(self)
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

impl fmt::Debug for Metadata {
    // Values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pairs.iter().map(|(name, _)| name)).finish()
    }
}

/// The header fields of one call, made by [`Open::headers`](crate::Open::headers).
#[derive(Clone, Debug)]
pub(crate) struct CallHeaders {
    pub(crate) shared: Arc<SharedHeaders>,
    pub(crate) own: Option<Arc<Metadata>>,
    pub(crate) require_leader: bool,
    pub(crate) timeout: Option<Duration>,
}

/// What is equal for all calls of a core.
#[derive(Debug)]
pub(crate) struct SharedHeaders {
    metadata: Metadata,
    /// The client's time-out, which most calls have.
    timeout: Option<Duration>,
    /// The fields of calls with that time-out and without metadata of their own, by whether they require a leader:
    /// copying a map costs less than making one.
    usual: [HeaderMap; 2],
}

impl SharedHeaders {
    pub(crate) fn new(config: &Config) -> Self {
        let usual = [false, true].map(|require_leader| {
            let mut headers = HeaderMap::new();
            write_fields(&mut headers, require_leader, config.timeout, &config.metadata);
            headers
        });
        Self { metadata: config.metadata.clone(), timeout: config.timeout, usual }
    }
}

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const CLIENT_API_VERSION: HeaderName = HeaderName::from_static("client-api-version");
const HAS_LEADER: HeaderName = HeaderName::from_static("hasleader");

fn write_fields(
    headers: &mut HeaderMap,
    require_leader: bool,
    timeout: Option<Duration>,
    metadata: &Metadata,
) {
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(CLIENT_API_VERSION, HeaderValue::from_static(Config::API_VERSION));
    if require_leader {
        headers.insert(HAS_LEADER, HeaderValue::from_static("true"));
    }
    if let Some(timeout) = timeout {
        headers.insert(GRPC_TIMEOUT, encode_timeout(timeout));
    }
    metadata.append_to(headers);
}

impl Metadata {
    fn append_to(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.pairs {
            headers.append(name, value.clone());
        }
    }
}

impl CallHeaders {
    pub(crate) fn to_map(&self) -> HeaderMap {
        let shared = &*self.shared;
        let mut headers = if self.timeout == shared.timeout {
            shared.usual[usize::from(self.require_leader)].clone()
        } else {
            let mut headers = HeaderMap::new();
            write_fields(&mut headers, self.require_leader, self.timeout, &shared.metadata);
            headers
        };
        if let Some(own) = &self.own {
            own.append_to(&mut headers);
        }
        headers
    }
}

/// A duration as gRPC spells it: at most eight digits and a unit, rounded up so that the server never gives up first
/// because of rounding.
fn encode_timeout(timeout: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let nanos = timeout.as_nanos();
    let units: [(u128, &str); 6] = [
        (1_000_000_000, "S"),
        (1_000_000, "m"),
        (1_000, "u"),
        (1, "n"),
        (60 * 1_000_000_000, "M"),
        (3600 * 1_000_000_000, "H"),
    ];
    // The largest unit that says it exactly, else the finest that can hold it.
    let exact = units[..4].iter().find(|(unit, _)| nanos % unit == 0 && nanos / unit <= MOST);
    let (unit, name) = exact
        .or_else(|| {
            units[..3].iter().rev().chain(&units[4..]).find(|(unit, _)| nanos.div_ceil(*unit) <= MOST)
        })
        .copied()
        .unwrap_or(units[5]);
    let count = nanos.div_ceil(unit).min(MOST);
    HeaderValue::from_str(&format!("{count}{name}")).unwrap_or(HeaderValue::from_static("99999999H"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_spelled_as_grpc_does() {
        for (timeout, text) in [
            (Duration::from_secs(10), "10S"),
            (Duration::from_millis(1500), "1500m"),
            (Duration::from_micros(7), "7u"),
            (Duration::from_nanos(1), "1n"),
            (Duration::ZERO, "0S"),
            (Duration::from_nanos(9_876_543_210), "9876544u"),
            (Duration::from_secs(99_999_999), "99999999S"),
            (Duration::from_secs(100_000_000), "1666667M"),
            (Duration::MAX, "99999999H"),
        ] {
            assert_eq!(encode_timeout(timeout), text, "{timeout:?}");
        }
    }

    #[test]
    fn reserved_and_malformed_metadata_is_refused() {
        for (name, value) in [
            ("te", "x"),
            ("grpc-timeout", "1S"),
            ("hasleader", "true"),
            ("a b", "x"),
            ("Upper", "x"),
            ("", "x"),
            ("x", "a\nb"),
            ("k-bin", "x"),
        ] {
            let error = Metadata::new().with(name, value).unwrap_err();
            assert!(matches!(&error, InvalidRequest::Metadata { name: n, .. } if n == name), "{error}");
        }
        let own = Metadata::new().with("x-tenant", "a").unwrap().with("x-tenant", "b").unwrap();
        assert!(!own.is_empty());
        assert_eq!(format!("{own:?}"), r#"["x-tenant", "x-tenant"]"#);
    }

    #[test]
    fn conn_046_require_leader_and_api_version_are_sent() {
        let config = Config::new([]).metadata(Metadata::new().with("a", "1").unwrap());
        let headers = CallHeaders {
            shared: Arc::new(SharedHeaders::new(&config)),
            own: Some(Arc::new(Metadata::new().with("a", "2").unwrap())),
            require_leader: true,
            timeout: Some(Duration::from_secs(10)),
        };
        let map = headers.to_map();
        assert_eq!(map["hasleader"], "true");
        assert_eq!(map["client-api-version"], "3.7");
        assert_eq!(map["grpc-timeout"], "10S");
        assert_eq!(map["te"], "trailers");
        assert_eq!(map["content-type"], "application/grpc");
        assert_eq!(map.get_all("a").iter().collect::<Vec<_>>(), ["1", "2"]);
    }
}
