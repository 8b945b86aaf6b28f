//! The endpoint parser: what it takes means the same when it is written down and read again.

use etcdium_core::{Address, Target};

pub(crate) const SEEDS: &[&[u8]] = &[
    b"127.0.0.1:2379",
    b"http://localhost",
    b"https://[::1]:2379/",
    b"[fe80::1%25eth0]:1",
    b"unix:/tmp/s",
    b"unixs://a/b",
    b"EXAMPLE.com.:65535",
];

/// Any text.
pub fn endpoint(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(address) = text.parse::<Address>() else { return };
    let again: Address = address.as_str().parse().expect("its own text is an address");
    assert_eq!((address.target(), address.security()), (again.target(), again.security()));
    assert_eq!(address.authority(), again.authority());
    match address.target() {
        Target::Tcp { host, port } => assert!(!host.is_empty() && *port != 0, "{address:?}"),
        Target::Unix { path } => assert!(!path.is_empty(), "{address:?}"),
        _ => {}
    }
    // It goes into every request.
    http::HeaderValue::from_str(address.authority()).expect("an authority is a header value");
    address.authority().parse::<http::uri::Authority>().expect("an authority is one to HTTP");
}
