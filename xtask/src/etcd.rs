//! `cargo xtask etcd [3.4|3.5|3.6|3.7|EXACT]`: provides an etcd server binary and prints its path.

use std::error::Error;

use etcdium_conformance::etcd::provision::{self, Request};

/// Prints the path alone on standard output, everything else on standard error.
///
/// # Errors
///
/// A wrong argument, or why no binary could be provided.
pub(crate) fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let request = match args {
        [] => Request::from_env()?,
        [version] => version.parse()?,
        _ => return Err("usage: cargo xtask etcd [3.4|3.5|3.6|3.7|EXACT]".into()),
    };
    let etcd = provision::provide(&request)?;
    if let Some(note) = &etcd.note {
        eprintln!("etcdium: {note}");
    }
    eprintln!("etcdium: {etcd}");
    println!("{}", etcd.path.display());
    Ok(())
}
