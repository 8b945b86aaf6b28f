//! Sans-IO protocol core of the etcdium etcd client.

#![forbid(unsafe_code)]

mod frame;

pub use frame::{Arena, FrameDecoder, FrameError, MessageTooLarge, PREFIX_LEN, encode};
