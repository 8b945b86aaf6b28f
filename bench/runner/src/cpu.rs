//! Which CPUs the two processes get, and whether anything else is using them.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::Error;

/// CPUs of the client and of the stub.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpus {
    pub(crate) client: usize,
    pub(crate) stub: usize,
}

/// The first two CPUs that this process may use; twice the same, with a warning, where there is one only.
///
/// # Errors
/// The system call's.
pub(crate) fn pick() -> Result<Cpus, Error> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let mut usable = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    let client = usable.next().ok_or("no CPU")?;
    let stub = usable.next().unwrap_or_else(|| {
        eprintln!(
            "WARNING: one CPU only. The client and the stub share it: latency and throughput mean little, \
             and CPU time per call holds the price of switching between them."
        );
        client
    });
    Ok(Cpus { client, stub })
}

/// Moves this process to a CPU. Processes started afterwards begin there.
///
/// # Errors
/// The system call's.
pub(crate) fn pin(cpu: usize) -> Result<(), Error> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Warns when other work is running before the first measurement.
pub(crate) fn warn_of_load() {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = text.split_whitespace().next().and_then(|load| load.parse::<f64>().ok()).unwrap_or(0.0);
    if load > 0.7 {
        eprintln!("WARNING: the load of this machine is {load}: expect noise, most of all at 1 in flight.");
    }
}
