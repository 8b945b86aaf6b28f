//! The property form of the fuzz targets: changed seeds and noise, for some seconds each, on stable Rust.
//!
//! `property [--seconds N] [--seed S] [TARGET]...` An input that shows something is printed in hexadecimal digits;
//! `property --input HEX TARGET` runs it again.

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use etcdium_fuzz::{TARGETS, Target};
use etcdium_sim::rng::Rng;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (mut seconds, mut seed, mut input, mut names) = (5, 1, None, Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => seconds = args.next().and_then(|n| n.parse().ok()).expect("a number of seconds"),
            "--seed" => seed = args.next().and_then(|n| n.parse().ok()).expect("a seed"),
            "--input" => input = args.next(),
            name => names.push(name.to_owned()),
        }
    }
    let unknown = names.iter().find(|name| TARGETS.iter().all(|target| target.0 != *name));
    if let Some(name) = unknown {
        eprintln!("no target {name}");
        return ExitCode::FAILURE;
    }
    let targets =
        TARGETS.iter().filter(|target| names.is_empty() || names.iter().any(|name| name == target.0));
    let mut sound = true;
    for target in targets {
        match &input {
            Some(digits) => target.1(&from_hex(digits)),
            None => sound &= run(target, Duration::from_secs(seconds), seed),
        }
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run((name, function, seeds): &Target, time: Duration, seed: u64) -> bool {
    let begin = Instant::now();
    let mut rng = Rng::new(seed);
    let mut inputs = 0_u64;
    for seed in *seeds {
        function(seed);
    }
    while begin.elapsed() < time {
        let input = invent(&mut rng, seeds);
        if panic::catch_unwind(AssertUnwindSafe(|| function(&input))).is_err() {
            let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("{name}: shown by --input {hex} {name}");
            return false;
        }
        inputs += 1;
    }
    println!("{name:<14} {inputs:>9} inputs in {:.1} s", begin.elapsed().as_secs_f64());
    true
}

/// Noise, or a seed with some bytes changed, left out, put in, or doubled.
fn invent(rng: &mut Rng, seeds: &[&[u8]]) -> Vec<u8> {
    if rng.index(4) == 0 {
        let length = rng.index(200);
        return (0..length).map(|_| rng.next_u64() as u8).collect();
    }
    let mut input = seeds[rng.index(seeds.len())].to_vec();
    for _ in 0..=rng.index(8) {
        let at = rng.index(input.len());
        match rng.index(6) {
            0 | 1 if !input.is_empty() => input[at] = rng.next_u64() as u8,
            2 if !input.is_empty() => input[at] ^= 1 << rng.index(8),
            3 if !input.is_empty() => drop(input.remove(at)),
            4 => input.insert(at, rng.next_u64() as u8),
            _ => {
                let other = seeds[rng.index(seeds.len())];
                let from = rng.index(other.len());
                input.extend_from_slice(&other[from..]);
            }
        }
    }
    input
}

fn from_hex(digits: &str) -> Vec<u8> {
    let pair = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..digits.len() / 2).map(|index| pair(2 * index).expect("hexadecimal digits")).collect()
}
