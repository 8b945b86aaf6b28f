//! `cargo xtask lines`: files stay small enough to read, adapters thin, and nothing is left half done.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::cargo::root;

/// The most lines of a Rust file.
const FILE: usize = 700;
/// The most lines of all source files of one adapter.
const ADAPTER: usize = 300;
/// What must not be committed.
const UNFINISHED: &[&str] = &["todo!(", "unimplemented!(", "#[ignore", "FIXME"];

/// Runs the task.
///
/// # Errors
/// The files that are too long or hold what must not be committed.
pub(crate) fn run() -> Outcome {
    let root = root();
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    let mut faults = Vec::new();
    let mut longest = (0, PathBuf::new());
    for file in &files {
        let text = fs::read_to_string(file)?;
        let lines = text.lines().count();
        let shown = file.strip_prefix(&root).unwrap_or(file).to_owned();
        if lines > FILE {
            faults.push(format!("{}: {lines} lines, more than {FILE}", shown.display()));
        }
        if !text.starts_with("//!") && !text.starts_with("#!") {
            faults.push(format!("{}: does not say what it holds", shown.display()));
        }
        if !shown.ends_with("xtask/src/lines.rs") {
            let found = UNFINISHED.iter().filter(|mark| text.contains(**mark));
            faults.extend(found.map(|mark| format!("{}: holds {mark}", shown.display())));
        }
        longest = longest.max((lines, shown));
    }
    for adapter in ["transport-tokio", "transport-smol", "transport-async-std"] {
        let sources = files.iter().filter(|file| file.starts_with(root.join(adapter).join("src")));
        let lines: usize =
            sources.map(|file| fs::read_to_string(file).map_or(0, |text| text.lines().count())).sum();
        if lines > ADAPTER {
            faults.push(format!("{adapter}: {lines} lines, more than {ADAPTER}"));
        }
    }
    if faults.is_empty() {
        println!("{} files, the longest {} with {} lines", files.len(), longest.1.display(), longest.0);
        Ok(())
    } else {
        Err(faults.join("\n").into())
    }
}

/// All hand-written Rust files below `folder`.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && name != "generated" && !name.starts_with('.') {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
