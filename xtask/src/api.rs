//! `cargo xtask api`: the public signatures of the client and its adapters name no type of hyper, h2, http-body or
//! prost, and those of the core none of another crate than `bytes`, `http` and our own.
//!
//! Reads rustdoc's JSON, so what is checked is what a user sees. The format is unstable; the few fields used here
//! (`index`, `paths`, `external_crates`) have long been the same.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::Outcome;
use crate::cargo::{cargo, run as run_command, target_dir, text};

/// Package, and the crates whose items its public signatures may name.
const PACKAGES: &[(&str, &[&str])] = &[
    ("etcdium-core", &["bytes", "http", "etcdium_proto"]),
    ("etcdium-client", &["bytes", "futures_core", "futures_io", "etcdium_core", "etcdium_proto"]),
    (
        "etcdium-tokio",
        &["bytes", "futures_core", "futures_io", "tokio", "etcdium_client", "etcdium_core", "etcdium_proto"],
    ),
    (
        "etcdium-smol",
        // smol's executor is async-executor's.
        &[
            "async_executor",
            "bytes",
            "futures_core",
            "futures_io",
            "etcdium_client",
            "etcdium_core",
            "etcdium_proto",
        ],
    ),
    (
        "etcdium-async-std",
        &["bytes", "futures_core", "futures_io", "etcdium_client", "etcdium_core", "etcdium_proto"],
    ),
];

/// Runs the task.
///
/// # Errors
/// The items that name a foreign type, with the type.
pub(crate) fn run() -> Outcome {
    let mut faults = BTreeSet::new();
    for (package, allowed) in PACKAGES {
        let mut rustdoc = cargo(&[
            "rustdoc",
            "-p",
            package,
            "--lib",
            "--",
            "-Z",
            "unstable-options",
            "--output-format",
            "json",
        ]);
        // rustdoc's JSON is not stable yet; nothing that is shipped is built this way.
        run_command(rustdoc.env("RUSTC_BOOTSTRAP", "1").env_remove("RUSTDOCFLAGS"))?;
        let file = target_dir().join("doc").join(package.replace('-', "_")).with_extension("json");
        let json: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
        let items = json["index"].as_object().ok_or("rustdoc's JSON has no index")?;
        for item in items.values() {
            let name = text(item, "name");
            let mut named = BTreeSet::new();
            // Where an impl's own items stand, and what derives and blanket impls make, is not a signature.
            if item["inner"].get("impl").is_none() {
                foreign(&item["inner"], &json, allowed, &mut named);
            }
            faults.extend(named.into_iter().map(|path| format!("{package}: {name} names {path}")));
        }
        println!("{package}: {} public items name only {}", items.len(), allowed.join(", "));
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(faults.into_iter().collect::<Vec<_>>().join("\n").into())
}

/// Collects the items of crates that are not allowed, wherever they are named below `value`.
fn foreign(value: &Value, json: &Value, allowed: &[&str], found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, below) in map {
                if matches!(key.as_str(), "resolved_path" | "trait") && below["id"].is_number() {
                    if let Some(path) = named(&below["id"], json, allowed) {
                        found.insert(path);
                    }
                }
                foreign(below, json, allowed, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|below| foreign(below, json, allowed, found)),
        _ => {}
    }
}

/// The path of an item, if it is of a crate that is not allowed.
fn named(id: &Value, json: &Value, allowed: &[&str]) -> Option<String> {
    let item = &json["paths"][id.to_string()];
    let krate = item["crate_id"].as_u64()?;
    let name =
        if krate == 0 { return None } else { text(&json["external_crates"][krate.to_string()], "name") };
    if matches!(name, "core" | "alloc" | "std") || allowed.contains(&name) {
        return None;
    }
    let path: Vec<&str> = item["path"].as_array()?.iter().filter_map(Value::as_str).collect();
    Some(path.join("::"))
}
