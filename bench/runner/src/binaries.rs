//! Builds the stub and the clients. `etcd-client` compiles its schemas with `protoc`, which comes from a crate here,
//! so that a bare machine needs nothing.

use std::path::Path;
use std::process::Command;

use crate::Error;
use crate::process::Programs;

/// Builds in release mode and says where the programs are.
///
/// # Errors
/// A failed build.
pub(crate) fn build() -> Result<Programs, Error> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--locked", "--quiet"]).arg("--manifest-path").arg(manifest);
    cargo.args(["--package", "bench-stub", "--package", "bench-client"]);
    if std::env::var_os("PROTOC").is_none() {
        cargo.env("PROTOC", protoc_bin_vendored::protoc_bin_path()?);
    }
    if !cargo.status()?.success() {
        return Err("the clients do not build".into());
    }
    let folder = std::env::current_exe()?.parent().ok_or("the runner lies in no folder")?.to_path_buf();
    Ok(Programs { folder })
}
