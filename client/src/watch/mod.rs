//! Watches: [`Client::watch`](crate::Client::watch) makes a [`Watch`], which awaited gives a [`Watcher`].

mod event;
mod list;
mod request;
mod watcher;

pub use event::{Event, EventKind, WatchItem};
pub use list::{ListItem, ListWatch, ListWatcher};
pub use request::{Watch, WatchFuture};
pub use watcher::Watcher;
