//! One member's port: bound while the member runs and connections are not refused.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use smol::{Async, Task, Timer};

use super::engine::{Engine, lock};
use super::gate::{Gate, Gated};
use crate::http::{Host, Runner, serve};

/// A port.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) address: SocketAddr,
    pub(super) gate: Arc<Gate>,
    accepting: Mutex<Option<Task<()>>>,
}

impl Port {
    /// Binds an address; nobody is accepted yet.
    pub(super) fn bind(address: SocketAddr) -> io::Result<(Self, TcpListener)> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        Ok((Self { address, gate: Arc::default(), accepting: Mutex::default() }, listener))
    }

    /// Accepts connections, unless it does.
    pub(super) fn open(
        &self,
        listener: Option<TcpListener>,
        engine: &Arc<Engine>,
        host: &Host,
        member: usize,
    ) -> io::Result<()> {
        let mut accepting = lock(&self.accepting);
        if accepting.is_some() {
            return Ok(());
        }
        let listener = match listener {
            Some(listener) => listener,
            None => TcpListener::bind(self.address)?,
        };
        let accept = accept(Async::new(listener)?, engine.clone(), host.clone(), member, self.gate.clone());
        *accepting = Some(engine.start(accept));
        Ok(())
    }

    /// Accepts no more; the port is free on return.
    pub(super) fn close(&self) {
        let task = lock(&self.accepting).take();
        if let Some(task) = task {
            smol::block_on(task.cancel());
        }
    }
}

async fn accept(
    listener: Async<TcpListener>,
    engine: Arc<Engine>,
    host: Host,
    member: usize,
    gate: Arc<Gate>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it answers are late; and a stream that is gone already ends by itself.
                let _ = stream.get_ref().set_nodelay(true);
                let stream = Gated { stream, gate: gate.clone() };
                engine.spawn(Box::pin(serve(stream, host.clone(), member)));
            }
            // No descriptors left, or a client that left again: time helps.
            Err(_) => drop(Timer::after(Duration::from_millis(10)).await),
        }
    }
}
