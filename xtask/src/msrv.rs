//! `cargo xtask msrv`: every locked dependency of the published crates declares a Rust version no newer than ours.
//!
//! That our own code keeps to it is checked by clippy's `incompatible_msrv`, which reads `rust-version`.

use serde_json::Value;

use crate::Outcome;
use crate::cargo::{list, metadata, text};

/// Runs the task.
///
/// # Errors
/// The packages that declare a newer Rust version than the workspace.
pub(crate) fn run() -> Outcome {
    let metadata = metadata()?;
    let packages = list(&metadata, "packages");
    let ours = packages.iter().find(|package| text(package, "name") == "etcdium-core");
    let msrv = ours.and_then(version).ok_or("the workspace declares no rust-version")?;
    let newer: Vec<String> = packages
        .iter()
        .filter(|package| version(package).is_some_and(|version| version > msrv))
        .map(|package| {
            let [name, version, rust] = ["name", "version", "rust_version"].map(|field| text(package, field));
            format!("{name} {version} needs Rust {rust}")
        })
        .collect();
    if newer.is_empty() {
        println!("{} packages keep to Rust {}.{}", packages.len(), msrv.0, msrv.1);
        Ok(())
    } else {
        Err(format!("newer than Rust {}.{}: {}", msrv.0, msrv.1, newer.join(", ")).into())
    }
}

fn version(package: &Value) -> Option<(u32, u32, u32)> {
    let mut parts = package["rust_version"].as_str()?.split('.').map(|part| part.parse().ok());
    let major = parts.next()??;
    Some((major, parts.next().flatten().unwrap_or(0), parts.next().flatten().unwrap_or(0)))
}
