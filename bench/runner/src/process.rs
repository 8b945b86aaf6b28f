//! Starting the stub and the client processes.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::Error;
use crate::cases::{BURST, Case};
use crate::cpu::{self, Cpus};
use crate::figures::Figures;

/// Where the built programs lie.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) folder: PathBuf,
}

/// A process that ends when it is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The running stub; dropping it ends it.
pub(crate) struct Stub {
    _process: Running,
    _spinner: Option<Running>,
    addr: String,
    cpus: Cpus,
}

impl Stub {
    /// Starts the stub on its CPU and waits until it listens. From then on this process is on the client's CPU.
    ///
    /// With `awake`, a program of idle priority computes on the stub's CPU whenever the stub sleeps. How long a halted
    /// CPU takes to wake, and what waking it costs the sender, is the hypervisor's affair and differs from host to host
    /// and hour to hour; a CPU that never halts takes that out of the figures, as `idle=poll` does on a machine of
    /// one's own.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start(programs: &Programs, cpus: Cpus, awake: bool) -> Result<Self, Error> {
        let program = programs.folder.join("bench-stub");
        cpu::pin(cpus.stub)?;
        let spinner = if awake && cpus.stub != cpus.client {
            let mut command = Command::new("chrt");
            command.args(["--idle", "0"]).arg(&program).args(["--tied", "--spin"]);
            let started = command.stdin(Stdio::piped()).spawn().map(Running);
            started.inspect_err(|error| eprintln!("WARNING: the stub's CPU may sleep: chrt: {error}")).ok()
        } else {
            None
        };
        let mut child =
            Command::new(program).arg("--tied").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        cpu::pin(cpus.client)?;
        let output = child.stdout.take();
        let process = Running(child);
        let mut line = String::new();
        BufReader::new(output.ok_or("the stub has no output")?).read_line(&mut line)?;
        let addr = line.trim().strip_prefix("listening ").ok_or("the stub did not start")?.to_owned();
        Ok(Self { _process: process, _spinner: spinner, addr, cpus })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }
}

impl Programs {
    /// Names of the clients that are built in.
    pub(crate) fn clients(&self) -> Result<Vec<String>, Error> {
        let names = output(Command::new(self.folder.join("bench-client")).arg("--list"))?;
        Ok(names.split_whitespace().map(str::to_owned).collect())
    }

    /// One timed run.
    pub(crate) fn run(
        &self,
        stub: &Stub,
        addr: &str,
        client: &str,
        case: &Case,
        quick: bool,
    ) -> Result<Figures, Error> {
        let lengths = [case.concurrency, case.warmup, case.ops(quick)];
        let mut command = self.client_of("bench-client", stub, addr, client, case.workload, lengths)?;
        Figures::parse(&output(&mut command)?)
    }

    /// Allocations per call.
    pub(crate) fn count(&self, stub: &Stub, client: &str, case: &Case) -> Result<f64, Error> {
        // Counts do not vary: a twentieth of the calls tells them, after a warm-up that fills every pool.
        let lengths = [case.concurrency, case.warmup.max(100), (case.ops / 20).max(case.concurrency)];
        let mut command = self.client("bench-client-alloc", stub, client, case.workload, lengths)?;
        Figures::parse(&output(&mut command)?)?.allocs_per_op.ok_or_else(|| "no allocations counted".into())
    }

    /// Bytes of heap of a client at rest.
    pub(crate) fn idle(&self, stub: &Stub, client: &str) -> Result<f64, Error> {
        let mut command = self.client("bench-client-alloc", stub, client, "idle", [1, 0, 0])?;
        Figures::parse(&output(&mut command)?)?.idle_heap.ok_or_else(|| "no heap counted".into())
    }

    /// Three storms of 10,000 cancelled puts.
    ///
    /// # Errors
    /// What the client says when the connection or another call did not survive.
    pub(crate) fn storm(&self, stub: &Stub, client: &str) -> Result<(), Error> {
        output(&mut self.client("bench-client", stub, client, "cancel-storm", [BURST, 0, 0])?).map(drop)
    }

    /// A client process on the client's CPU; `lengths` are concurrency, warm-up and measured calls.
    pub(crate) fn client(
        &self,
        program: &str,
        stub: &Stub,
        client: &str,
        workload: &str,
        lengths: [usize; 3],
    ) -> Result<Command, Error> {
        self.client_of(program, stub, &stub.addr, client, workload, lengths)
    }

    /// The same, calling another server than the stub.
    fn client_of(
        &self,
        program: &str,
        stub: &Stub,
        addr: &str,
        client: &str,
        workload: &str,
        lengths: [usize; 3],
    ) -> Result<Command, Error> {
        cpu::pin(stub.cpus.client)?;
        let mut command = Command::new(self.folder.join(program));
        command.args(["--client", client, "--workload", workload, "--addr", addr]);
        for (name, value) in ["--concurrency", "--warmup", "--ops"].into_iter().zip(lengths) {
            command.arg(name).arg(value.to_string());
        }
        Ok(command)
    }
}

/// Runs a command to its end and gives its standard output.
///
/// # Errors
/// What it wrote to standard error when it failed.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let name = command.get_program().to_string_lossy();
    Err(format!("{name} ended with {}\n{}", output.status, said.trim()).into())
}
