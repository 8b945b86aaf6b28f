//! Sans-IO protocol core of the etcdium etcd client.

#![forbid(unsafe_code)]

mod address;
mod backoff;
mod etcd_error;
mod frame;
mod grpc;
mod ids;
mod key_range;
mod revision;
mod rng;
mod timer;

pub use address::{Address, AddressError, AddressErrorKind, Security, Target};
pub use backoff::BackoffConfig;
pub use etcd_error::{Advice, Applied, EtcdError};
pub use frame::{Arena, FrameDecoder, FrameError, MessageTooLarge, PREFIX_LEN, encode};
pub use grpc::{GrpcCode, Head, InvalidHead, Status, read_head, read_trailers};
pub use ids::{ClusterId, LeaseId, MemberId, Revision};
pub use key_range::{Key, KeyRange, prefix_end};
