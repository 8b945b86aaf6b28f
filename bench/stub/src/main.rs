//! `bench-stub [--port N] [--tied] [--spin]`: a stub etcd on loopback whose answers are built beforehand.
//!
//! It speaks just enough HTTP/2, written by hand: a call costs it a small part of what it costs any client, so the
//! client is what a benchmark measures. A stub on a general HTTP/2 library costs about as much per call as the
//! clients do, stays busy, and so hides the wake-ups that a client's needless small writes cause.
//!
//! Writes raise the revision. Watches are served from histories that are made up for keys of a certain form (see
//! `store.rs`), exactly from the revision on that is asked for; leases never expire. A connection that says `RENEWALS`
//! instead of HTTP/2 is told how many renewals of leases the stub has seen.
//!
//! It prints `listening 127.0.0.1:PORT` once it accepts connections. `--tied` makes it exit when its standard
//! input closes, so that it never outlives the runner that started it. `--spin` serves nothing and computes for ever:
//! at idle priority it keeps a CPU from falling asleep, see `runner/src/process.rs`.

#![forbid(unsafe_code)]

mod answers;
mod connection;
mod feed;
mod frame;
mod hpack;
mod sending;
mod store;
mod streams;

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread;

use store::Store;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    let (mut port, mut spin) = (0_u16, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--port" => port = args.next().ok_or("--port needs a number")?.parse()?,
            "--tied" => {
                thread::spawn(|| {
                    let _ = std::io::stdin().read_to_end(&mut Vec::new());
                    std::process::exit(0);
                });
            }
            "--spin" => spin = true,
            other => return Err(format!("unknown argument {other:?}").into()),
        }
    }
    // Without the processor's pause instruction, which would let a hypervisor take the CPU away. Newer kernels do not
    // interrupt a program on another CPU for whoever wakes there: they wait for its next system call, or for the tick, which
    // may be 4 ms away. So this one makes system calls all the time.
    while spin {
        std::thread::yield_now();
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("listening {}", listener.local_addr()?);
    let store = Arc::new(Store::new());
    for ordinal in 1.. {
        let (stream, _) = listener.accept()?;
        let store = Arc::clone(&store);
        thread::spawn(move || {
            let Err(error) = connection::serve(stream, ordinal, store) else { return };
            let kind = error.downcast_ref().map(std::io::Error::kind);
            // How a client looks that ends without a farewell.
            if !matches!(kind, Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)) {
                eprintln!("bench-stub: connection {ordinal}: {error}");
            }
        });
    }
    Ok(())
}
