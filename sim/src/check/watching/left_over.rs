//! What watches leave on servers.

use crate::check::{Check, Fact, View};

/// The servers have a watch for each that goes on, and none beside: neither for those that were cancelled or dropped, nor
/// for those that were created again. A grpc-proxy keeps its own.
#[derive(Debug)]
pub(in crate::check) struct LeftOver;

impl Check for LeftOver {
    fn name(&self) -> &'static str {
        "nothing is left on servers"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        let wanted = match fact {
            Fact::Settled => view.watches.iter().filter(|record| record.is_live()).count(),
            Fact::Emptied | Fact::Over => 0,
            _ => return Ok(()),
        };
        let there: Vec<usize> =
            (0..view.setup.members).map(|member| view.cluster.watch_count(member)).collect();
        if view.setup.proxied || there.iter().sum::<usize>() == wanted {
            return Ok(());
        }
        Err(format!("{wanted} watches go on, the members have {there:?}"))
    }
}
