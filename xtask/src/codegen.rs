//! `cargo xtask codegen`: turns `proto/proto/**/*.proto` into the checked-in code under
//! `proto/src/generated`.
//!
//! The schemas are compiled by protox and the code is written by prost-build, so no `protoc` is needed. The
//! outcome is a pure function of the schemas and the locked versions of the two: one file per protobuf
//! package, formatted.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use prost_build::{Config, Module};

/// Messages that carry a secret. Their `Debug` is written by hand in `proto/src/redact.rs`.
const SECRET: [&str; 5] = [
    ".authpb.User",
    ".etcdserverpb.AuthenticateRequest",
    ".etcdserverpb.AuthenticateResponse",
    ".etcdserverpb.AuthUserAddRequest",
    ".etcdserverpb.AuthUserChangePasswordRequest",
];

/// Runs the task. `--check` writes nothing and fails when the checked-in code is not what the schemas give.
///
/// # Errors
///
/// An unknown argument, a schema that does not compile, files that cannot be read or written, drift under
/// `--check`.
pub(crate) fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let check = match args {
        [] => false,
        [arg] if arg == "--check" => true,
        _ => return Err("usage: cargo xtask codegen [--check]".into()),
    };
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("proto");
    let target = proto.join("src/generated");
    let files = generate(&proto.join("proto"))?;
    let drifted = drift(&target, &files)?;
    if check {
        if drifted.is_empty() {
            return Ok(());
        }
        let list: Vec<_> = drifted.iter().map(|name| format!("\n  proto/src/generated/{name}")).collect();
        return Err(format!(
            "generated code differs from the schemas; run `cargo xtask codegen`:{}",
            list.concat()
        )
        .into());
    }
    fs::create_dir_all(&target)?;
    for name in drifted {
        let path = target.join(&name);
        match files.get(&name) {
            Some(code) => fs::write(path, code)?,
            None => fs::remove_file(path)?,
        }
        println!("proto/src/generated/{name}");
    }
    Ok(())
}

/// The code of every package, by file name.
fn generate(root: &Path) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    let mut schemas = Vec::new();
    find_schemas(root, &mut schemas)?;
    schemas.sort();
    let mut set = protox::compile(&schemas, [root])?;
    // prost takes `peerURLs` apart as `peer_ur_ls`. Field names have no part in the encoding.
    for message in set.file.iter_mut().flat_map(|file| &mut file.message_type) {
        for field in &mut message.field {
            field.name = field.name.take().map(|name| name.replace("URLs", "Urls"));
        }
    }
    let requests: Vec<_> =
        set.file.into_iter().map(|file| (Module::from_protobuf_package_name(file.package()), file)).collect();
    let packages: BTreeSet<String> = requests.iter().map(|(_, file)| file.package().to_owned()).collect();

    let mut modules = Config::new().bytes(["."]).skip_debug(SECRET).enable_type_names().generate(requests)?;
    let mut files = BTreeMap::new();
    for package in packages {
        let module = Module::from_protobuf_package_name(&package);
        let code = modules.remove(&module).ok_or_else(|| format!("package {package} is empty"))?;
        let text =
            format!("//! Package `{package}`, written by `cargo xtask codegen` from its schema.\n\n{code}");
        files.insert(format!("{package}.rs"), text);
    }
    Ok(files)
}

fn find_schemas(dir: &Path, found: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            find_schemas(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    Ok(())
}

/// Names of the files in `dir` that are missing, different, or not among `files`.
fn drift(dir: &Path, files: &BTreeMap<String, String>) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let mut drifted = BTreeSet::new();
    for (name, code) in files {
        if fs::read_to_string(dir.join(name)).ok().as_ref() != Some(code) {
            drifted.insert(name.clone());
        }
    }
    if dir.is_dir() {
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !files.contains_key(&name) {
                drifted.insert(name);
            }
        }
    }
    Ok(drifted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemas() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("proto").join("proto")
    }

    #[test]
    fn two_runs_give_the_same_code() {
        assert_eq!(generate(&schemas()).unwrap(), generate(&schemas()).unwrap());
    }

    #[test]
    fn drift_names_changed_missing_and_foreign_files() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .with_file_name("target")
            .join(format!("codegen-drift-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("same.rs"), "a").unwrap();
        fs::write(dir.join("changed.rs"), "a").unwrap();
        fs::write(dir.join("foreign.rs"), "a").unwrap();
        let files = [("same.rs", "a"), ("changed.rs", "b"), ("missing.rs", "c")]
            .map(|(name, code)| (name.to_owned(), code.to_owned()))
            .into();
        let drifted = drift(&dir, &files).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(drifted.into_iter().collect::<Vec<_>>(), ["changed.rs", "foreign.rs", "missing.rs"]);
    }
}
