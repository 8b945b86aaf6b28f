//! Endpoint texts: what a user writes to name a server, and what is wrong with it if it names none.
//!
//! The forms are those of the Go client (`client/v3/internal/endpoint`). Where that client dials a wrong text as it is and
//! fails later, this one says what is wrong with it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// One endpoint of a cluster.
///
/// | text | dialled | security |
/// |---|---|---|
/// | `host:port`, `[ipv6]:port` | TCP | [`Security::Optional`] |
/// | `http://host:port` | TCP | [`Security::Plain`] |
/// | `https://host:port` | TCP | [`Security::Tls`] |
/// | `unix:///absolute/path`, `unix://relative/path`, `unix:path` | Unix socket | [`Security::Optional`] |
/// | `unixs:///absolute/path`, `unixs://relative/path`, `unixs:path` | Unix socket | [`Security::Tls`] |
///
/// A path after `http://host:port` and `https://host:port` is dropped, as the Go client does. There is no default port:
/// etcd's usual one is 2379. A text that begins with `unix:` always names a socket, `unix:2379` one called `2379`.
///
/// Two addresses are equal, and ordered, by what they dial and how ([`target`](Self::target) and
/// [`security`](Self::security)), not by their text: `ETCD:2379` equals `etcd:2379`.
#[derive(Clone)]
pub struct Address {
    text: String,
    target: Target,
    security: Security,
    authority: String,
    server_name: String,
}

/// Where an [`Address`] leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Target {
    /// A TCP port.
    Tcp {
        /// A host name in lower case, or an IP address; IPv6 without brackets, with its zone (`fe80::1%eth0`) if it has one.
        host: String,
        /// The port, never 0.
        port: u16,
    },
    /// A Unix domain socket.
    Unix {
        /// The file, absolute or relative to the working directory.
        path: String,
    },
}

/// Whether a connection to an [`Address`] uses TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Security {
    /// TLS if the client is configured with TLS: texts without a scheme, and `unix:`.
    Optional,
    /// Never TLS: `http://`.
    Plain,
    /// Always TLS: `https://` and `unixs:`.
    Tls,
}

impl Address {
    /// The text as the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What to dial.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Whether the connection uses TLS.
    pub const fn security(&self) -> Security {
        self.security
    }

    /// The `:authority` of requests: host and port, or the file name of a Unix socket.
    ///
    /// Always a valid HTTP authority. A file name that is none gives `localhost`; an IPv6 zone, which means nothing to the
    /// other side, is left out.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The name to expect in the server's certificate, unless configured otherwise: the host without port, zone and final dot,
    /// or the file name of a Unix socket without anything like a port (`etcd:1234` gives `etcd`).
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    fn identity(&self) -> (&Target, Security) {
        (&self.target, self.security)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Address {}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Address {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.text).finish()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<&str> for Address {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, AddressError> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<&String> for Address {
    type Error = AddressError;

    fn try_from(text: &String) -> Result<Self, AddressError> {
        Self::try_from(text.clone())
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        match parse(&text) {
            Ok(Parsed { target, security, authority, server_name }) => {
                Ok(Self { text, target, security, authority, server_name })
            }
            Err(wrong) => Err(AddressError {
                kind: wrong.kind,
                part: shown(wrong.part),
                why: wrong.why,
                input: shown(&without_user(&text)),
            }),
        }
    }
}

/// A text that names no endpoint.
///
/// Its message says which part is wrong and why, and quotes both the part and the text (the first 200 characters of each).
/// User name and password, which do not belong into an endpoint, are never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    kind: AddressErrorKind,
    part: String,
    why: String,
    input: String,
}

impl AddressError {
    /// Which part of the text is wrong.
    pub const fn kind(&self) -> AddressErrorKind {
        self.kind
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, part, why, input } = self;
        match kind {
            AddressErrorKind::Empty => write!(f, "empty endpoint: {why}"),
            _ => write!(f, "endpoint {input:?}: {kind} {part:?}: {why}"),
        }
    }
}

impl std::error::Error for AddressError {}

/// The part of an endpoint text that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AddressErrorKind {
    /// The text is empty.
    Empty,
    /// The text holds white space or a control character where none can be.
    Whitespace,
    /// The text holds several endpoints; they are to be given one by one.
    List,
    /// The scheme is none of `http`, `https`, `unix`, `unixs`, or its punctuation is wrong.
    Scheme,
    /// A user name or password before the host.
    UserInfo,
    /// The host is missing, or neither a host name nor an IP address.
    Host,
    /// There is no port.
    MissingPort,
    /// The port is no number from 1 to 65535.
    Port,
    /// A path where none can be, or a Unix socket's path that cannot be one.
    Path,
    /// A query (`?`) or fragment (`#`).
    Query,
}

impl fmt::Display for AddressErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Empty => "empty text",
            Self::Whitespace => "white space or control character",
            Self::List => "list of endpoints",
            Self::Scheme => "scheme",
            Self::UserInfo => "user information",
            Self::Host => "host",
            Self::MissingPort => "missing port after",
            Self::Port => "port",
            Self::Path => "path",
            Self::Query => "query",
        })
    }
}

/// What a parser found wrong, and in which part of its input.
struct Wrong<'a> {
    kind: AddressErrorKind,
    part: &'a str,
    why: String,
}

fn wrong<'a, T>(kind: AddressErrorKind, part: &'a str, why: impl Into<String>) -> Result<T, Wrong<'a>> {
    Err(Wrong { kind, part, why: why.into() })
}

/// All of an address but its text.
struct Parsed {
    target: Target,
    security: Security,
    authority: String,
    server_name: String,
}

fn parse(text: &str) -> Result<Parsed, Wrong<'_>> {
    if text.is_empty() {
        return wrong(AddressErrorKind::Empty, text, "write host:port, for instance 127.0.0.1:2379");
    }
    let around = [&text[..text.len() - text.trim_start().len()], &text[text.trim_end().len()..]];
    if let Some(space) = around.into_iter().find(|space| !space.is_empty()) {
        return wrong(AddressErrorKind::Whitespace, space, "remove it from around the endpoint");
    }
    if let Some(path) = strip_scheme(text, "unix:") {
        return parse_unix(path, Security::Optional);
    }
    if let Some(path) = strip_scheme(text, "unixs:") {
        return parse_unix(path, Security::Tls);
    }
    // Judged before the parts around it, so that no message shows a piece of a password.
    if text.contains('@') {
        return wrong(
            AddressErrorKind::UserInfo,
            "***@",
            "give user and password to the client, not in the endpoint",
        );
    }
    if let Some(space) = text.matches(|c: char| c.is_whitespace() || c.is_control()).next() {
        return wrong(AddressErrorKind::Whitespace, space, "it can be no part of an endpoint");
    }
    if text.contains(',') {
        return wrong(AddressErrorKind::List, text, "give each endpoint by itself");
    }
    if let Some(rest) = strip_scheme(text, "http://") {
        return parse_tcp(before_path(rest)?, Security::Plain, "http://");
    }
    if let Some(rest) = strip_scheme(text, "https://") {
        return parse_tcp(before_path(rest)?, Security::Tls, "https://");
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return wrong(AddressErrorKind::Scheme, scheme, "known are http, https, unix and unixs");
    }
    for scheme in ["http:", "https:"] {
        // `http:2379` is a host called http.
        if strip_scheme(text, scheme).is_some_and(|rest| !is_decimal(rest)) {
            return wrong(AddressErrorKind::Scheme, &text[..scheme.len()], "two slashes must follow it");
        }
    }
    let host_port = before_path(text)?;
    if host_port.len() < text.len() {
        let path = &text[host_port.len()..];
        return wrong(AddressErrorKind::Path, path, "a host and port without http:// have no path");
    }
    parse_tcp(host_port, Security::Optional, "")
}

/// The text after a scheme, in whatever case it is written.
fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let start = text.get(..scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
}

/// Host and port without the path after them.
fn before_path(text: &str) -> Result<&str, Wrong<'_>> {
    if let Some(at) = text.find(['?', '#']) {
        return wrong(AddressErrorKind::Query, &text[at..], "an endpoint has none");
    }
    Ok(text.split_once('/').map_or(text, |(host_port, _)| host_port))
}

fn parse_unix(rest: &str, security: Security) -> Result<Parsed, Wrong<'_>> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() {
        return wrong(AddressErrorKind::Path, path, "the path of a Unix socket must follow the scheme");
    }
    if path.contains('\0') {
        return wrong(AddressErrorKind::Path, path, "a path holds no zero byte");
    }
    if path.starts_with('@') {
        return wrong(
            AddressErrorKind::Path,
            path,
            "abstract sockets are not supported; write a file as ./@name",
        );
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    if matches!(name, "" | "." | "..") {
        return wrong(AddressErrorKind::Path, path, "a directory is no Unix socket");
    }
    let authority = if is_authority(name) { name } else { "localhost" };
    let server_name = match name.split_once(':') {
        Some((host, port)) if !host.is_empty() && !port.contains(':') => host,
        _ => name,
    };
    Ok(Parsed {
        target: Target::Unix { path: path.to_owned() },
        security,
        authority: authority.to_owned(),
        server_name: server_name.to_owned(),
    })
}

/// Whether a file name can stand as `:authority`: a name of RFC 3986, with or without a port.
fn is_authority(name: &str) -> bool {
    let (host, port) = name.split_once(':').unwrap_or((name, "0"));
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte);
    !host.is_empty() && host.bytes().all(legal) && is_decimal(port) && port.parse::<u16>().is_ok()
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn parse_tcp<'a>(host_port: &'a str, security: Security, scheme: &str) -> Result<Parsed, Wrong<'a>> {
    let (host, port, name) = match host_port.strip_prefix('[') {
        Some(inner) => {
            let Some((address, after)) = inner.split_once(']') else {
                return wrong(AddressErrorKind::Host, host_port, "the closing bracket is missing");
            };
            let host = parse_ipv6(address, !scheme.is_empty())?;
            let port = match after.strip_prefix(':') {
                Some(port) => port,
                None if after.is_empty() => "",
                None => {
                    return wrong(
                        AddressErrorKind::Host,
                        host_port,
                        "only a port can follow the closing bracket",
                    );
                }
            };
            let name = host.split('%').next().unwrap_or(&host).to_owned();
            (host, port, name)
        }
        None => {
            if host_port.matches(':').count() > 1 {
                let why = "more than one colon; an IPv6 address stands in brackets, as in [::1]:2379";
                return wrong(AddressErrorKind::Host, host_port, why);
            }
            let (host, port) = host_port.split_once(':').unwrap_or((host_port, ""));
            check_host(host)?;
            let host = host.to_ascii_lowercase();
            let name = host.strip_suffix('.').unwrap_or(&host).to_owned();
            (host, port, name)
        }
    };
    if port.is_empty() {
        let host_alone = host_port.strip_suffix(':').unwrap_or(host_port);
        let why = format!("there is no default, write {scheme}{}:2379", shown(host_alone));
        return wrong(AddressErrorKind::MissingPort, host_alone, why);
    }
    let number = if is_decimal(port) { port.parse().unwrap_or(0) } else { 0 };
    if number == 0 {
        return wrong(AddressErrorKind::Port, port, "it must be a number from 1 to 65535");
    }
    let bracketed = host.contains(':');
    let authority = if bracketed { format!("[{name}]:{number}") } else { format!("{host}:{number}") };
    Ok(Parsed { target: Target::Tcp { host, port: number }, security, authority, server_name: name })
}

/// The canonical form of an IPv6 address with an optional zone. In a URL the percent sign before the zone is written `%25`
/// (RFC 6874); a plain one is taken too.
fn parse_ipv6(text: &str, in_url: bool) -> Result<String, Wrong<'_>> {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => {
            let zone = if in_url { zone.strip_prefix("25").unwrap_or(zone) } else { zone };
            (address, Some(zone))
        }
        None => (text, None),
    };
    let Ok(address) = address.parse::<Ipv6Addr>() else {
        return wrong(AddressErrorKind::Host, text, "only an IPv6 address stands in brackets");
    };
    let Some(zone) = zone else {
        return Ok(address.to_string());
    };
    if zone.is_empty() || !zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
        return wrong(
            AddressErrorKind::Host,
            text,
            "the zone after the percent sign names no network interface",
        );
    }
    Ok(format!("{address}%{zone}"))
}

/// Accepts IPv4 addresses and host names, with underscores (container names have them) and a final dot.
fn check_host(host: &str) -> Result<(), Wrong<'_>> {
    let refuse = |why: &str| wrong(AddressErrorKind::Host, host, why);
    if host.is_empty() {
        return refuse("it is missing (127.0.0.1 is this machine)");
    }
    if !host.is_ascii() {
        return refuse("write an international name in its ASCII form (xn--...)");
    }
    if let Some(byte) = host.bytes().find(|byte| !byte.is_ascii_alphanumeric() && !b"-_.".contains(byte)) {
        return refuse(&format!("{:?} can be no part of a host name", char::from(byte)));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() > 253 || name.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return refuse("a host name is at most 253 characters, in parts of 1 to 63");
    }
    if name.rsplit('.').next().is_some_and(is_decimal) && host.parse::<Ipv4Addr>().is_err() {
        return refuse("a name that ends in a number must be an IPv4 address: four numbers from 0 to 255");
    }
    Ok(())
}

/// The text without anything that may be a user name or password.
fn without_user(text: &str) -> String {
    if strip_scheme(text.trim(), "unix:").or_else(|| strip_scheme(text.trim(), "unixs:")).is_some() {
        return text.to_owned();
    }
    let Some((user, rest)) = text.rsplit_once('@') else {
        return text.to_owned();
    };
    match user.split_once("://") {
        Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            format!("{scheme}://***@{rest}")
        }
        _ => format!("***@{rest}"),
    }
}

/// The part of a text that an error message shows.
fn shown(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
