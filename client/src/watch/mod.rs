//! Watches: [`Client::watch`](crate::Client::watch) makes a [`Watch`], which awaited gives a [`Watcher`].

mod event;
mod request;
mod watcher;

pub use event::{Event, EventKind, WatchItem};
pub use request::{Watch, WatchFuture};
pub use watcher::Watcher;
