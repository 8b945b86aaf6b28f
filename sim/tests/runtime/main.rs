//! The whole client, driver and hyper included, on the simulated runtime against the model: many seeds, many machines.
//!
//! `ETCDIUM_SIM_SEEDS=N` runs N seeds of each test instead of its own number, `ETCDIUM_SIM_SEED=S` only the one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

mod calls;
mod faults;
mod slow;
mod storms;
mod world;
