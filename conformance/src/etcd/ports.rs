//! Loopback ports that stay ours across restarts of a server.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;

/// Below the ports that systems hand out for outgoing connections and for bind to port 0, so that no stranger is given
/// one of these while our server is down.
const RANGE: Range<u16> = 20_000..32_000;

/// A TCP port on 127.0.0.1 that no other launcher on this machine uses until this is dropped.
///
/// A server binds the TCP port itself, so it cannot be held by a TCP socket. The UDP port of the same number serves as
/// the lock instead: it is exclusive across threads, processes and users, and freed by the kernel with the process.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _lock: UdpSocket,
}

impl Port {
    pub(crate) fn reserve() -> io::Result<Self> {
        let count = RANGE.end - RANGE.start;
        // Random keys, so that launchers started together do not walk the same way.
        let start = (RandomState::new().hash_one(()) % u64::from(count)) as u16;
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for step in 0..count {
            let number = RANGE.start + (start + step) % count;
            match Self::try_reserve(number) {
                Ok(port) => return Ok(port),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn try_reserve(number: u16) -> io::Result<Self> {
        let lock = UdpSocket::bind((Ipv4Addr::LOCALHOST, number))?;
        // Some other program may have it, or a server of a launcher that was just killed.
        drop(TcpListener::bind((Ipv4Addr::LOCALHOST, number))?);
        Ok(Self { number, _lock: lock })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_reserved_once_and_free_for_tcp() {
        let port = Port::reserve().unwrap();
        assert!(RANGE.contains(&port.number));
        assert!(Port::try_reserve(port.number).is_err());
        let listener = TcpListener::bind(port.address()).unwrap();
        let number = port.number;
        drop(port);
        // Not reserved any more, but taken.
        assert!(Port::try_reserve(number).is_err());
        drop(listener);
        assert!(Port::try_reserve(number).is_ok());
    }
}
