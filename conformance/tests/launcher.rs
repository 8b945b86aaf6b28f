//! The launcher of real etcd clusters: starting, killing, pausing, restarting, and leaving nothing behind.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use etcdium_client::Put;
use etcdium_conformance::chaos::{Chaos, Step};
use etcdium_conformance::etcd::provision::{Minor, Request};
use etcdium_conformance::etcd::{Cluster, ClusterConfig, GrpcProxy, LaunchError, Member, Topology, shared};
use etcdium_conformance::scenario::{Runtime, Setup};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn pid(raw: u32) -> Pid {
    Pid::from_raw(i32::try_from(raw).unwrap()).unwrap()
}

/// Whether a process has ended. One that its new parent has not reaped yet has.
fn is_gone(raw: u32) -> bool {
    let zombie = fs::read_to_string(format!("/proc/{raw}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    zombie || test_kill_process(pid(raw)).is_err()
}

fn refuses(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err()
}

/// The answer to one HTTP request, whole.
fn ask(mut stream: impl Read + Write, request: &str) -> String {
    write!(stream, "{request}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Calls etcd's JSON gateway.
fn gateway(member: &Member, path: &str, body: &str) -> String {
    let length = body.len();
    let request = format!("POST {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}");
    ask(TcpStream::connect(member.client_address()).unwrap(), &request)
}

fn pids(cluster: &Cluster) -> Vec<u32> {
    cluster.members().iter().map(|member| member.pid().unwrap()).collect()
}

#[test]
fn one_member_serves_and_leaves_nothing() {
    let cluster = ClusterConfig::single().unix_sockets().start().unwrap();
    let member = &cluster.members()[0];
    member.check_health().unwrap();
    assert!(member.is_leader());
    assert_ne!(member.member_id().unwrap(), 0);
    assert_eq!(cluster.endpoints(), [format!("http://{}", member.client_address())]);
    assert!(member.client_address().ip().is_loopback() && member.peer_address().ip().is_loopback());

    let socket = UnixStream::connect(member.unix_socket().unwrap()).unwrap();
    let health = ask(socket, "GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert!(health.contains(r#""health":"true""#), "{health}");

    let (pids, address, folder) = (pids(&cluster), member.client_address(), member.data_folder());
    assert!(folder.join("member").is_dir());
    drop(cluster);
    assert!(pids.into_iter().all(is_gone));
    assert!(refuses(address));
    assert!(!folder.parent().unwrap().exists());
}

#[test]
fn three_members_survive_what_is_done_to_them() {
    let cluster = ClusterConfig::three().start().unwrap();
    let before = pids(&cluster);
    assert_eq!(before.len(), 3);

    let old = cluster.wait_leader(PATIENCE).unwrap();
    old.kill();
    assert!(!old.is_running());
    assert!(matches!(old.check_health(), Err(LaunchError::NotRunning { .. })));
    assert!(matches!(old.pause(), Err(LaunchError::NotRunning { .. })));
    let new = cluster.wait_leader(PATIENCE).unwrap();
    assert_ne!(new.name(), old.name());
    old.restart().unwrap();
    cluster.wait_ready(PATIENCE).unwrap();

    let id = new.member_id().unwrap();
    new.terminate().unwrap();
    assert!(!new.is_running());
    assert!(matches!(new.terminate(), Err(LaunchError::NotRunning { .. })));
    new.restart().unwrap();
    cluster.wait_ready(PATIENCE).unwrap();
    assert_eq!(new.member_id().unwrap(), id);

    let paused = cluster.members().iter().find(|member| !member.is_leader()).unwrap();
    paused.pause().unwrap();
    assert!(paused.is_running());
    assert!(matches!(paused.check_health(), Err(LaunchError::Io { .. })));
    paused.resume().unwrap();
    paused.wait_ready(PATIENCE).unwrap();

    // A server that is stopped ends all the same.
    paused.pause().unwrap();
    paused.terminate().unwrap();
    cluster.members().iter().find(|member| member.is_running()).unwrap().pause().unwrap();
    let after: Vec<u32> = cluster.members().iter().filter_map(Member::pid).chain(before).collect();
    drop(cluster);
    assert!(after.into_iter().all(is_gone));
}

#[test]
fn data_and_ports_survive_a_restart_of_all() {
    let cluster = ClusterConfig::single().fast_elections().start().unwrap();
    let member = &cluster.members()[0];
    // "key" and "value" in base64.
    let put = gateway(member, "/v3/kv/put", r#"{"key":"a2V5","value":"dmFsdWU="}"#);
    assert!(put.contains(r#""revision":"2""#), "{put}");
    let endpoints = cluster.endpoints();
    cluster.restart().unwrap();
    assert_eq!(cluster.endpoints(), endpoints);
    let got = gateway(member, "/v3/kv/range", r#"{"key":"a2V5"}"#);
    assert!(got.contains("dmFsdWU="), "{got}");
}

#[test]
fn flags_reach_the_server_and_can_be_changed_for_one_run() {
    let config = ClusterConfig::single().flag("max-txn-ops", 1);
    let cluster = config.start().unwrap();
    let member = &cluster.members()[0];
    let get = r#"{"request_range":{"key":"a2V5"}}"#;
    let two = || gateway(member, "/v3/kv/txn", &format!(r#"{{"success":[{get},{get}]}}"#));
    assert!(two().contains("too many operations"));
    member.restart_with(&[("max-txn-ops", "2")]).unwrap();
    member.wait_ready(PATIENCE).unwrap();
    assert!(two().contains("\"succeeded\":true"));
    member.restart().unwrap();
    member.wait_ready(PATIENCE).unwrap();
    assert!(two().contains("too many operations"));
}

#[test]
fn a_refused_flag_is_named() {
    for (name, value) in [("no-such-flag", "1"), ("max-txn-ops", "many")] {
        let error = ClusterConfig::single().flag(name, value).start().unwrap_err();
        assert!(matches!(&error, LaunchError::Flag { flag, .. } if flag == name), "{error}");
    }
}

#[test]
fn a_server_that_ends_by_itself_is_told_with_its_log() {
    let cluster = ClusterConfig::single().start().unwrap();
    let member = &cluster.members()[0];
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = format!("http://{}", taken.local_addr().unwrap());
    member.restart_with(&[("listen-metrics-urls", &metrics)]).unwrap();
    match member.wait_ready(PATIENCE) {
        Err(LaunchError::Exited { status, log, .. }) => {
            assert!(!status.success());
            assert!(log.contains("address already in use"), "{log}");
        }
        other => panic!("{other:?}"),
    }
    assert!(!member.is_running());
}

/// Flags with a spelling that differs between versions, and a Unix socket.
fn starts(minor: Minor) {
    let config = ClusterConfig::single()
        .version(Request::Minor(minor))
        .unix_sockets()
        .flag("watch-progress-notify-interval", "1s")
        .flag("quota-backend-bytes", 64 << 20);
    let cluster = config.start().unwrap();
    assert_eq!((cluster.etcd().version.major, cluster.etcd().version.minor), {
        let pinned = minor.pinned();
        (pinned.major, pinned.minor)
    });
    let member = &cluster.members()[0];
    let socket = UnixStream::connect(member.unix_socket().unwrap()).unwrap();
    assert!(ask(socket, "GET /version HTTP/1.0\r\nHost: localhost\r\n\r\n").contains(&minor.to_string()));
    assert!(member.is_leader());
    assert_ne!(member.member_id().unwrap(), 0);
    cluster.restart().unwrap();
}

#[test]
fn etcd_3_4_starts() {
    starts(Minor::V3_4);
}

#[test]
fn etcd_3_5_starts() {
    starts(Minor::V3_5);
}

#[test]
fn etcd_3_6_starts() {
    starts(Minor::V3_6);
}

#[test]
fn etcd_3_7_starts() {
    starts(Minor::V3_7);
}

#[test]
fn shared_clusters_give_way_and_a_third_one_waits() {
    let first = shared(Topology::Single).unwrap();
    let second = shared(Topology::Single).unwrap();
    let idle = pids(&first);
    assert_eq!(idle, pids(&second));
    drop((first, second));
    assert!(!is_gone(idle[0]));

    let one = ClusterConfig::single().start().unwrap();
    let two = ClusterConfig::single().start().unwrap();
    assert!(is_gone(idle[0]));
    let (started, third) = mpsc::channel();
    let starter = thread::spawn(move || started.send(ClusterConfig::single().start().unwrap()));
    // Well above the time it takes when there is room.
    assert!(third.recv_timeout(Duration::from_secs(2)).is_err());
    drop(one);
    let third = third.recv_timeout(PATIENCE).unwrap();
    assert!(two.members()[0].check_health().is_ok() && third.members()[0].check_health().is_ok());
    starter.join().unwrap().unwrap();
}

/// Another process that runs a cluster.
struct Other {
    process: Child,
    members: Vec<(SocketAddr, u32, PathBuf)>,
}

impl Other {
    fn start(members: usize) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_etcdium-etcd"))
            .arg(members.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().take(members);
        let members = lines
            .map(|line| {
                let line = line.unwrap();
                let parts: Vec<&str> = line.split(' ').collect();
                let address = parts[1].strip_prefix("http://").unwrap().parse().unwrap();
                (address, parts[2].parse().unwrap(), Path::new(parts[3]).to_owned())
            })
            .collect();
        Self { process, members }
    }

    fn leaves_nothing(&self) {
        assert!(!self.members.is_empty());
        for (address, pid, folder) in &self.members {
            eventually("the server has ended", || is_gone(*pid));
            eventually("its port is closed", || refuses(*address));
            let root = folder.ancestors().nth(3).unwrap();
            let name = root.file_name().unwrap().to_string_lossy().into_owned();
            assert!(name.starts_with(&format!("etcdium-{}-", self.process.id())), "{name}");
            eventually("its folder is removed", || !root.exists());
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn nothing_is_left_when_the_process_is_killed() {
    let mut other = Other::start(3);
    // Not even a server that is stopped.
    kill_process(pid(other.members[0].1), Signal::STOP).unwrap();
    assert!(other.members.iter().all(|(_, pid, _)| !is_gone(*pid)));
    other.process.kill().unwrap();
    other.process.wait().unwrap();
    other.leaves_nothing();
}

#[test]
fn nothing_is_left_when_the_process_ends_with_a_shared_cluster() -> io::Result<()> {
    let mut other = Other::start(1);
    drop(other.process.stdin.take());
    assert!(other.process.wait()?.success());
    other.leaves_nothing();
    Ok(())
}

#[test]
fn metrics_are_read() {
    let cluster = ClusterConfig::single().start().unwrap();
    let member = &cluster.members()[0];
    assert_eq!(member.metric("etcd_debugging_mvcc_watcher_total", &[]).unwrap(), Some(0.0));
    assert_eq!(member.metric("no_such_metric", &[]).unwrap(), None);
    let puts = || member.metric("etcd_mvcc_put_total", &[]).unwrap().unwrap();
    let before = puts();
    gateway(member, "/v3/kv/put", r#"{"key":"a2V5","value":"dmFsdWU="}"#);
    assert_eq!(puts(), before + 1.0);
    let put = [("grpc_service", "etcdserverpb.KV"), ("grpc_method", "Put"), ("grpc_code", "OK")];
    assert_eq!(member.metric("grpc_server_handled_total", &put).unwrap(), Some(1.0));
}

#[test]
fn a_failpoint_is_set_and_cleared() {
    let cluster = ClusterConfig::single().failpoints().start().unwrap();
    let member = &cluster.members()[0];
    let names = member.failpoints().unwrap();
    for name in ["beforeSendWatchResponse", "beforeLookupWhenLeaseTimeToLive"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
    let lease = gateway(member, "/v3/lease/grant", r#"{"ID":"7","TTL":"60"}"#);
    assert!(lease.contains(r#""ID":"7""#), "{lease}");
    let asked = || {
        let begin = Instant::now();
        let answer = gateway(member, "/v3/lease/timetolive", r#"{"ID":"7"}"#);
        assert!(answer.contains(r#""grantedTTL":"60""#), "{answer}");
        begin.elapsed()
    };
    let delay = Duration::from_secs(2);
    member.set_failpoint("beforeLookupWhenLeaseTimeToLive", r#"sleep("2s")"#).unwrap();
    assert!(asked() >= delay);
    member.clear_failpoint("beforeLookupWhenLeaseTimeToLive").unwrap();
    // On a machine so busy that it takes as long without, a second try tells.
    assert!(asked() < delay || asked() < delay);
    assert!(member.clear_failpoint("beforeLookupWhenLeaseTimeToLive").is_err());
    assert!(member.set_failpoint("noSuchFailpoint", "panic").is_err());

    let plain = ClusterConfig::single().start().unwrap();
    let error = plain.members()[0].failpoints().unwrap_err();
    assert!(error.to_string().contains("not configured with failpoints"), "{error}");
}

/// A put by etcd's proxy, read from a member, and the proxy's end.
fn is_proxied(minor: Minor) {
    let cluster = ClusterConfig::single().version(Request::Minor(minor)).start().unwrap();
    let proxy = GrpcProxy::start(&cluster).unwrap();
    let status = Runtime::Tokio.block_on({
        let setup = Setup::new([proxy.endpoint()]);
        async move { Runtime::Tokio.open(&setup).unwrap().send(Put::new("key", "value")).await }
    });
    status.unwrap();
    let got = gateway(&cluster.members()[0], "/v3/kv/range", r#"{"key":"a2V5"}"#);
    assert!(got.contains("dmFsdWU="), "{got}");
    let (pid, address) = (proxy.pid().unwrap(), proxy.address());
    proxy.kill();
    assert!(is_gone(pid) && proxy.pid().is_none());
    proxy.restart().unwrap();
    let pid = proxy.pid().unwrap();
    drop(proxy);
    assert!(is_gone(pid) && refuses(address));
}

#[test]
fn the_grpc_proxy_of_3_4_serves() {
    is_proxied(Minor::V3_4);
}

#[test]
fn the_grpc_proxy_of_3_7_serves() {
    is_proxied(Minor::V3_7);
}

#[test]
fn chaos_reigns_and_is_undone() {
    let cluster = Arc::new(ClusterConfig::three().start().unwrap());
    let proxies = Chaos::proxies(&cluster).unwrap();
    let chaos = Chaos::start(Arc::clone(&cluster), Arc::clone(&proxies), 2).unwrap();
    let strikes = || chaos.performed().iter().filter(|done| matches!(done.step, Step::Strike(_))).count();
    eventually("five blows", || strikes() >= 5);
    assert!(chaos.stop().unwrap().len() >= 10);
    for (member, proxy) in cluster.members().iter().zip(&*proxies) {
        member.check_health().unwrap();
        let answer = ask(TcpStream::connect(proxy.address()).unwrap(), "GET /health HTTP/1.0\r\n\r\n");
        assert!(answer.contains(r#""health":"true""#), "{answer}");
    }
}
