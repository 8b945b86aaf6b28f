//! The demo where no etcd can be had: no cache, no Go, no Python, no apt.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::path::PathBuf;
use std::process::{Command, Output};
use std::{env, fs, process};

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("etcdium-demo-{name}-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs the demo in surroundings that have nothing but this folder.
fn demo(folder: &Folder, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_etcdium-demo"))
        .args(arguments)
        .env_clear()
        .env("PATH", folder.0.join("bin"))
        .env("HOME", &folder.0)
        .env("CARGO_TARGET_DIR", folder.0.join("target"))
        .current_dir(&folder.0)
        .output()
        .unwrap()
}

fn assert_shown(output: &Output, parts: &[&str]) {
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{errors}", output.status);
    for part in parts {
        assert!(out.contains(part), "{part:?} is missing\n{out}\n{errors}");
    }
}

#[test]
fn the_model_takes_the_place_of_an_etcd_that_cannot_be_had() {
    let folder = Folder::new("nothing");
    let output = demo(&folder, &[]);
    let why = ["No real etcd can be had, so the model takes its place.", "`go` is not installed"];
    assert_shown(&output, &why);
    assert_shown(&output, &["Using the model etcd", "tokio", "smol", "async-std", "event loop"]);
}

#[test]
fn an_etcd_named_by_hand_that_is_none_is_told() {
    let folder = Folder::new("named");
    let output = Command::new(env!("CARGO_BIN_EXE_etcdium-demo"))
        .env_clear()
        .env("HOME", &folder.0)
        .env("CARGO_TARGET_DIR", folder.0.join("target"))
        .env("ETCDIUM_ETCD", folder.0.join("no-etcd"))
        .output()
        .unwrap();
    assert_shown(&output, &["ETCDIUM_ETCD", "Using the model etcd"]);
}

#[test]
fn with_embedded_nothing_is_looked_for() {
    let folder = Folder::new("embedded");
    let output = demo(&folder, &["--embedded"]);
    assert_shown(&output, &["Using the model etcd"]);
    assert!(!folder.0.join("target").exists(), "a cache was made");
}
