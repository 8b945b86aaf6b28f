//! Spelling of command-line flags, which differs between versions.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::LaunchError;

/// `--name=value` as this binary understands it: the plain name, else the one with `experimental-` before it.
///
/// The binary itself is asked, since its help text is incomplete; a value it does not take is found out as well.
pub(super) fn spell(binary: &Path, name: &str, value: &str) -> Result<String, LaunchError> {
    type Known = HashMap<(PathBuf, String, String), String>;
    static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
    let key = (binary.to_owned(), name.to_owned(), value.to_owned());
    let known =
        KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().get(&key).cloned();
    if let Some(flag) = known {
        return Ok(flag);
    }
    let plain = format!("--{name}={value}");
    let flag = match ask(binary, &plain) {
        Ok(()) => plain,
        Err(reason) => {
            let experimental = format!("--experimental-{name}={value}");
            match ask(binary, &experimental) {
                Ok(()) => experimental,
                Err(_) => return Err(LaunchError::Flag { flag: name.to_owned(), reason }),
            }
        }
    };
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.get_or_insert_default().insert(key, flag.clone());
    Ok(flag)
}

/// Flags are parsed before `--version` is answered.
fn ask(binary: &Path, flag: &str) -> Result<(), String> {
    let output = Command::new(binary).args([flag, "--version"]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", binary.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().next().unwrap_or("no reason given").to_owned())
}
