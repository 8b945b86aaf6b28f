//! Sans-IO protocol core of the etcdium etcd client.

#![forbid(unsafe_code)]

mod etcd_error;
mod frame;
mod grpc;

pub use etcd_error::{Advice, Applied, EtcdError};
pub use frame::{Arena, FrameDecoder, FrameError, MessageTooLarge, PREFIX_LEN, encode};
pub use grpc::{GrpcCode, Head, InvalidHead, Status, read_head, read_trailers};
