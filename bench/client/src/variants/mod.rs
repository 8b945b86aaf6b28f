//! The clients, one file each.

mod bare_hyper;
mod etcd_client;
mod etcdium;

use crate::Error;
use crate::measure::Report;
use crate::plan::Plan;

/// Names that `--client` takes.
pub(crate) const NAMES: &[&str] = &[
    "hyper",
    "hyper-multi",
    "etcd-client",
    "etcdium-tokio",
    "etcdium-tokio-multi",
    "etcdium-smol",
    "etcdium-async-std",
];

/// Runs the plan on the client it names.
pub(crate) fn run(plan: &Plan) -> Result<Report, Error> {
    match plan.client.as_str() {
        "hyper" => bare_hyper::run(plan),
        "hyper-multi" => bare_hyper::run_multi(plan),
        "etcd-client" => etcd_client::run(plan),
        "etcdium-tokio" => etcdium::run_tokio(plan),
        "etcdium-tokio-multi" => etcdium::run_tokio_multi(plan),
        "etcdium-smol" => etcdium::run_smol(plan),
        "etcdium-async-std" => etcdium::run_async_std(plan),
        other => Err(format!("no client {other:?}; there are: {}", NAMES.join(" ")).into()),
    }
}
