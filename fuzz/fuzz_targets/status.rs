//! cargo-fuzz target: see `etcdium_fuzz::status`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| etcdium_fuzz::status(data));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("run it with cargo fuzz, or `cargo xtask fuzz`");
}
