//! cargo-fuzz target: see `etcdium_fuzz::client_bytes`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| etcdium_fuzz::client_bytes(data));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("run it with cargo fuzz, or `cargo xtask fuzz`");
}
