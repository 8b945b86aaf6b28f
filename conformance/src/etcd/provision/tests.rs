//! Providing etcd: the order of the sources and what each failure says, with stand-ins for the programs.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Minor, Provisioner, Request, Source, Version};

/// A folder of this test alone, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("etcdium-provision-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Written by another process: a file that is open for writing in a child just being started by another test
    /// could not be run ("text file busy").
    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" >"$0" && chmod 755 "$0""#;
        assert!(Command::new("sh").args(["-c", write]).arg(&path).arg(text).status().unwrap().success());
        path
    }

    fn etcd(&self, name: &str, version: &str) -> PathBuf {
        self.script(name, &format!("echo 'etcd Version: {version}'\necho 'Go Version: go1.26.0'"))
    }

    /// A `go` that builds an etcd of this version.
    fn go(&self, version: &str) {
        let built = self.etcd("built", version).display().to_string();
        let build = format!("case $1 in env) echo go1.26.1 ;; build) /bin/cp -p '{built}' etcd ;; esac");
        self.script("bin/go", &build);
    }

    fn provisioner(&self, named: Option<&Path>) -> Provisioner {
        let path: OsString = self.0.join("bin").into();
        Provisioner::new(named.map(Path::to_path_buf), self.0.join("cache"), path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_named_binary_comes_first() {
    let folder = Folder::new("named");
    let named = folder.etcd("mine", "3.5.9");
    folder.etcd("cache/3.5.35/etcd", "3.5.35");
    let found = folder.provisioner(Some(&named)).provide(&Request::Minor(Minor::V3_5)).unwrap();
    assert_eq!((found.path, found.source), (named, Source::Environment));
    assert_eq!(found.version, Version::new(3, 5, 9));
    assert_eq!(found.note.unwrap(), "using etcd 3.5.9 from ETCDIUM_ETCD instead of 3.5.35");
}

#[test]
fn a_named_binary_of_another_minor_is_passed_over() {
    let folder = Folder::new("other");
    let named = folder.etcd("mine", "3.5.9");
    let cached = folder.etcd("cache/3.7.3/etcd", "3.7.3");
    let found = folder.provisioner(Some(&named)).provide(&Request::Minor(Minor::V3_7)).unwrap();
    assert_eq!((found.path, found.source, found.note), (cached, Source::Cache, None));
}

#[test]
fn a_named_program_that_is_not_etcd_is_an_error() {
    let folder = Folder::new("broken");
    folder.etcd("cache/3.7.3/etcd", "3.7.3");
    let error = folder.provisioner(Some(Path::new("/bin/true"))).provide(&Request::Default).unwrap_err();
    assert_eq!(error.attempts().len(), 1);
    assert!(error.to_string().contains("/bin/true prints no etcd version"), "{error}");
}

#[test]
fn the_default_falls_back_to_the_newest_cached_and_says_so() {
    let folder = Folder::new("fallback");
    folder.etcd("cache/3.4.23/etcd", "3.4.23");
    let newest = folder.etcd("cache/3.6.16/etcd", "3.6.16");
    let found = folder.provisioner(None).provide(&Request::Default).unwrap();
    assert_eq!(found.path, newest);
    let note = found.note.unwrap();
    assert!(note.starts_with("using etcd 3.6.16 from cache instead of 3.7.3, because "), "{note}");
    assert!(note.contains("`go` is not installed"), "{note}");
}

#[test]
fn a_minor_never_becomes_another_minor() {
    let folder = Folder::new("minor");
    folder.etcd("cache/3.6.16/etcd", "3.6.16");
    let error = folder.provisioner(None).provide(&Request::Minor(Minor::V3_7)).unwrap_err();
    let sources: Vec<Source> = error.attempts().iter().map(|attempt| attempt.source).collect();
    assert_eq!(sources, [Source::Cache, Source::Go, Source::Wheel, Source::Debian]);
}

#[test]
fn an_exact_version_is_that_version_or_an_error_that_says_what_to_install() {
    let folder = Folder::new("exact");
    folder.etcd("cache/3.5.35/etcd", "3.5.35");
    let error = folder.provisioner(None).provide(&Request::Exact(Version::new(3, 5, 9))).unwrap_err();
    let text = error.to_string();
    for part in ["no etcd 3.5.9 could be provided", "Tried:", "Install Go 1.26", "ETCDIUM_ETCD"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_build_is_checked_and_kept() {
    let folder = Folder::new("build");
    folder.go("3.7.3");
    let found = folder.provisioner(None).provide(&Request::Default).unwrap();
    assert_eq!((found.source, found.note), (Source::Go, None));
    assert_eq!(found.path, folder.0.join("cache/3.7.3/etcd"));
    assert!(!folder.0.join("cache/scratch").exists());
    let again = folder.provisioner(None).provide(&Request::Default).unwrap();
    assert_eq!(again.source, Source::Cache);
}

#[test]
fn a_build_of_the_wrong_version_is_refused() {
    let folder = Folder::new("wrong");
    folder.go("3.7.2");
    let error = folder.provisioner(None).provide(&Request::Exact(Version::new(3, 7, 3))).unwrap_err();
    assert!(error.to_string().contains("build with Go: it supplies etcd 3.7.2"), "{error}");
}

#[test]
fn failpoints_are_built_or_the_reason_is_told() {
    let folder = Folder::new("failpoints");
    // Neither the named binary nor the cached one will do.
    let named = folder.etcd("mine", "3.7.3");
    folder.etcd("cache/3.7.3/etcd", "3.7.3");
    let error = folder.provisioner(Some(&named)).provide(&Request::Failpoints(Minor::V3_7)).unwrap_err();
    let text = error.to_string();
    for part in
        ["no etcd 3.7.3 with failpoints could be provided", "`go` is not installed", "Install Go 1.26"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let error = folder.provisioner(None).provide(&Request::Failpoints(Minor::V3_4)).unwrap_err();
    assert!(error.to_string().contains("they begin with 3.5"), "{error}");
    let built = folder.etcd("cache/3.7.3-gofail-checkpoints/etcd", "3.7.3");
    let found = folder.provisioner(None).provide(&Request::Failpoints(Minor::V3_7)).unwrap();
    assert_eq!((found.path, found.source, found.note), (built, Source::Cache, None));
}
