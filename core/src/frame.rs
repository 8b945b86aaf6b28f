//! gRPC message framing: a flag byte, a four-byte big-endian length, the message.
//!
//! [`encode`] writes requests, [`FrameDecoder`] cuts responses out of HTTP/2 DATA chunks whatever way those were split
//! or joined on their journey. Source: gRPC over HTTP/2, "Length-Prefixed-Message".

mod decode;
mod encode;
mod spares;

pub use decode::{FrameDecoder, FrameError};
pub(crate) use encode::{Arena, MessageTooLarge, encode, encode_all};
pub(crate) use spares::Spares;

/// Length of the prefix before every message: one flag byte and four bytes of length.
const PREFIX_LEN: usize = 5;
