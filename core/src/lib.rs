//! Sans-IO protocol core of the etcdium etcd client.

#![forbid(unsafe_code)]

mod frame;
mod grpc;

pub use frame::{Arena, FrameDecoder, FrameError, MessageTooLarge, PREFIX_LEN, encode};
pub use grpc::{GrpcCode, Head, InvalidHead, Status, read_head, read_trailers};
