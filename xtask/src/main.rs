//! The tasks of the etcdium repository: `cargo xtask <task>`.

fn main() {}
