//! A TCP proxy on loopback that does to connections what networks do, when a test says so.
//!
//! One thread and no async runtime; everything can be changed while connections run, and a change is in force when the
//! call that makes it returns. The thread and all sockets end with the [`Proxy`].
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::{TcpListener, TcpStream};
//! use etcdium_conformance::proxy::{Direction, Proxy};
//!
//! let server = TcpListener::bind("127.0.0.1:0")?;
//! let proxy = Proxy::start(server.local_addr()?)?;
//! let mut client = TcpStream::connect(proxy.address())?;
//! let (mut accepted, _) = server.accept()?;
//! // Three bytes arrive, then the connection is reset.
//! proxy.cut_after(Direction::ToServer, 3);
//! client.write_all(b"HEAD")?;
//! let mut got = [0; 8];
//! assert_eq!(accepted.read(&mut got)?, 3);
//! # Ok::<(), std::io::Error>(())
//! ```

mod handle;
mod link;
mod pipe;
mod rules;
#[cfg(test)]
mod tests;
mod worker;

pub use handle::Proxy;
pub use rules::{Counts, Direction, Flow};
