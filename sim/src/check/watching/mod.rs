//! Rules for watches of the core, one per file.

mod buffers;
mod caught_up;
mod ends;
mod histories;
mod left_over;
mod notices;
mod progress;

pub(super) use buffers::Buffers;
pub(super) use caught_up::CaughtUp;
pub(super) use ends::Ends;
pub(super) use histories::Histories;
pub(super) use left_over::LeftOver;
pub(super) use notices::Notices;
pub(super) use progress::Progress;
