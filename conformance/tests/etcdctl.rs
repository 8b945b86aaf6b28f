//! The model on a real socket, used by etcd's own command-line client: it answers as etcd does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use etcdium_conformance::etcd::provision::Provisioner;
use etcdium_sim::SimServer;

/// How long any command may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn etcdctl() -> &'static PathBuf {
    static CTL: OnceLock<PathBuf> = OnceLock::new();
    CTL.get_or_init(|| Provisioner::from_env().provide_ctl().unwrap())
}

struct Shell {
    server: SimServer,
}

impl Shell {
    fn new(members: usize) -> Self {
        Self { server: SimServer::builder().members(members).start().unwrap() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(etcdctl());
        command
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.server.endpoints().join(",")])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end; what it printed, on either stream if it failed.
    fn run(&self, args: &[&str], input: &str) -> Result<String, String> {
        let mut child = self.command(args).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let (send, done) = mpsc::channel();
        let child = Arc::new(Mutex::new(child));
        let guard = Guard(child.clone());
        let (mut out, mut err) = {
            let mut child = child.lock().unwrap();
            (child.stdout.take().unwrap(), child.stderr.take().unwrap())
        };
        thread::spawn(move || {
            let read =
                (std::io::read_to_string(&mut out).unwrap(), std::io::read_to_string(&mut err).unwrap());
            let _ = send.send(read);
        });
        let (out, err) = done.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{args:?} does not end"));
        let status = guard.0.lock().unwrap().wait().unwrap();
        if status.success() { Ok(out) } else { Err(out + &err) }
    }

    #[track_caller]
    fn says(&self, args: &[&str], expected: &str) {
        assert_eq!(self.run(args, "").as_deref(), Ok(expected), "{args:?}");
    }
}

/// Ends a process with the test.
struct Guard(Arc<Mutex<Child>>);

impl Drop for Guard {
    fn drop(&mut self) {
        let mut child = self.0.lock().unwrap();
        // Fails if it has ended.
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[test]
fn keys_and_values() {
    let shell = Shell::new(1);
    shell.says(&["put", "a", "1"], "OK\n");
    shell.says(&["put", "b", "2", "--prev-kv"], "OK\n");
    shell.says(&["put", "b", "3", "--prev-kv"], "OK\nb\n2\n");
    shell.says(&["get", "a"], "a\n1\n");
    shell.says(&["get", "", "--from-key", "--keys-only"], "a\n\nb\n\n");
    shell.says(&["get", "a", "z", "--order=DESCEND", "--print-value-only", "--consistency=s"], "3\n1\n");
    shell.says(&["get", "b", "--rev=3"], "b\n2\n");
    shell.says(&["get", "nothing"], "");
    shell.says(&["del", "a", "--prev-kv"], "1\na\n1\n");
    shell.says(&["del", "", "--prefix"], "1\n");
    let json = shell.run(&["get", "a", "-w", "json"], "").unwrap();
    assert!(json.contains("\"revision\":6") && json.contains("\"cluster_id\":"), "{json}");
    let error = shell.run(&["put", "", "x"], "").unwrap_err();
    assert!(error.contains("etcdserver: key is not provided"), "{error}");
    let error = shell.run(&["get", "a", "--rev=99"], "").unwrap_err();
    assert!(error.contains("etcdserver: mvcc: required revision is a future revision"), "{error}");
}

#[test]
fn transactions_and_compaction() {
    let shell = Shell::new(1);
    shell.says(&["put", "k", "1"], "OK\n");
    let txn = "value(\"k\") = \"1\"\nversion(\"k\") = \"1\"\n\nput k 2\nget k\n\nget k\n\n";
    assert_eq!(shell.run(&["txn"], txn).as_deref(), Ok("SUCCESS\n\nOK\n\nk\n2\n"));
    assert_eq!(shell.run(&["txn"], txn).as_deref(), Ok("FAILURE\n\nk\n2\n"));
    shell.says(&["compaction", "3"], "compacted revision 3\n");
    let error = shell.run(&["compaction", "2"], "").unwrap_err();
    assert!(error.contains("etcdserver: mvcc: required revision has been compacted"), "{error}");
    let error = shell.run(&["get", "k", "--rev=2"], "").unwrap_err();
    assert!(error.contains("etcdserver: mvcc: required revision has been compacted"), "{error}");
}

#[test]
fn leases() {
    let shell = Shell::new(1);
    let granted = shell.run(&["lease", "grant", "60"], "").unwrap();
    let words: Vec<&str> = granted.split_whitespace().collect();
    let ["lease", id, "granted", "with", "TTL(60s)"] = words[..] else { panic!("{granted}") };
    shell.says(&["put", "k", "v", &format!("--lease={id}")], "OK\n");
    shell.says(&["lease", "list"], &format!("found 1 leases\n{id}\n"));
    let left = shell.run(&["lease", "timetolive", id, "--keys"], "").unwrap();
    assert!(left.starts_with(&format!("lease {id} granted with TTL(60s), remaining(")), "{left}");
    assert!(left.ends_with("), attached keys([k])\n"), "{left}");
    shell.says(&["lease", "keep-alive", "--once", id], &format!("lease {id} keepalived with TTL(60)\n"));
    shell.says(&["lease", "revoke", id], &format!("lease {id} revoked\n"));
    shell.says(&["get", "k"], "");
    let error = shell.run(&["lease", "revoke", id], "").unwrap_err();
    assert!(error.contains("etcdserver: requested lease not found"), "{error}");
}

#[test]
fn watches() {
    let shell = Shell::new(1);
    shell.says(&["put", "w/0", "old"], "OK\n");
    let mut child = shell.command(&["watch", "w/", "--prefix", "--rev=2", "--prev-kv"]).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let _guard = Guard(Arc::new(Mutex::new(child)));
    let (send, lines) = mpsc::channel();
    thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    let next = |count: usize| -> Vec<String> {
        (0..count).map(|_| lines.recv_timeout(PATIENCE).expect("the watch says nothing")).collect()
    };
    assert_eq!(next(3), ["PUT", "w/0", "old"]);
    shell.says(&["put", "other", "x"], "OK\n");
    shell.says(&["put", "w/0", "new"], "OK\n");
    assert_eq!(next(5), ["PUT", "w/0", "old", "w/0", "new"]);
    shell.says(&["del", "w/0"], "1\n");
    assert_eq!(next(5), ["DELETE", "w/0", "new", "w/0", ""]);
}

#[test]
fn the_cluster() {
    let shell = Shell::new(3);
    let health = shell.run(&["endpoint", "health"], "");
    assert_eq!(health.unwrap_or_else(|error| error).matches("is healthy").count(), 3);
    let status = shell.run(&["endpoint", "status", "-w", "simple"], "").unwrap();
    let rows: Vec<Vec<&str>> = status.lines().map(|row| row.split(", ").collect()).collect();
    assert_eq!(rows.iter().filter(|row| row[1] != "0" && row.contains(&"true")).count(), 1, "{status}");
    shell.server.kill(1);
    shell.says(&["put", "k", "v"], "OK\n");
}
