//! `cargo xtask purity`: the core depends on nothing that could do anything.
//!
//! Clippy enforces the bans of `core/clippy.toml` in the code; this proves the dependencies, and where the target is
//! installed that the core builds for `wasm32-unknown-unknown`, where there is no clock, socket or thread to use.

use std::process::Command;

use crate::Outcome;
use crate::cargo::{cargo, output, run as run_command};

/// What may never be in the core's tree.
const BANNED: &[&str] = &[
    "async-io",
    "async-std",
    "fastrand",
    "futures-util",
    "getrandom",
    "h2",
    "hyper",
    "mio",
    "polling",
    "rand",
    "rand_core",
    "rustix",
    "smol",
    "socket2",
    "tokio",
];

/// What the core may name in its manifest.
const DIRECT: &[&str] = &["bytes", "etcdium-proto", "http", "prost", "tracing"];

/// Runs the task.
///
/// # Errors
/// A dependency that is not allowed, or a core that does not build for wasm.
pub(crate) fn run() -> Outcome {
    let tree = tree(&["--all-features"])?;
    let banned: Vec<&String> = tree.iter().filter(|name| BANNED.contains(&name.as_str())).collect();
    if !banned.is_empty() {
        return Err(format!("the core's tree holds {banned:?}").into());
    }
    let foreign: Vec<String> =
        tree_at_depth_one()?.into_iter().filter(|name| !DIRECT.contains(&name.as_str())).collect();
    if !foreign.is_empty() {
        return Err(format!("the core depends directly on {foreign:?}; allowed are {DIRECT:?}").into());
    }
    println!("the core's tree: {}", tree.join(" "));
    if wasm_installed() {
        let target = ["build", "-p", "etcdium-core", "--all-features", "--target", "wasm32-unknown-unknown"];
        run_command(&mut cargo(&target))?;
        println!("the core builds for wasm32-unknown-unknown");
    } else {
        println!("wasm32-unknown-unknown is not installed: the core was not built for it");
    }
    Ok(())
}

fn tree_at_depth_one() -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut direct = tree(&["--all-features", "--depth", "1"])?;
    direct.retain(|name| name != "etcdium-core");
    Ok(direct)
}

/// The names in the core's dependency tree, build and development dependencies excepted.
fn tree(more: &[&str]) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut args =
        vec!["tree", "-p", "etcdium-core", "-e", "normal", "--prefix", "none", "--format", "{p}", "--locked"];
    args.extend(more);
    let listing = output(&mut cargo(&args))?;
    let mut names: Vec<String> =
        listing.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

fn wasm_installed() -> bool {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    let Ok(sysroot) = sysroot else { return false };
    let sysroot = String::from_utf8_lossy(&sysroot.stdout).trim().to_owned();
    std::path::Path::new(&sysroot).join("lib/rustlib/wasm32-unknown-unknown/lib").is_dir()
}
