//! `bench-stub [--port N] [--tied]`: a stub etcd on loopback whose answers are built beforehand.
//!
//! It speaks just enough HTTP/2, written by hand: a call costs it a small part of what it costs any client, so the
//! client is what a benchmark measures. A stub on a general HTTP/2 library costs about as much per call as the
//! clients do, stays busy, and so hides the wake-ups that a client's needless small writes cause.
//!
//! It prints `listening 127.0.0.1:PORT` once it accepts connections. `--tied` makes it exit when its standard
//! input closes, so that it never outlives the runner that started it.

#![forbid(unsafe_code)]

mod answers;
mod connection;
mod frame;
mod hpack;
mod sending;

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    let mut port = 0_u16;
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
            other => return Err(format!("unknown argument {other:?}").into()),
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("listening {}", listener.local_addr()?);
    for ordinal in 1.. {
        let (stream, _) = listener.accept()?;
        thread::spawn(move || {
            if let Err(error) = connection::serve(stream, ordinal) {
                eprintln!("bench-stub: connection {ordinal}: {error}");
            }
        });
    }
    Ok(())
}
