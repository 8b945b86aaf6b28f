//! How gRPC says what became of a call: status codes, response heads and trailers.

mod code;
mod status;

pub use code::GrpcCode;
pub use status::InvalidHead;
pub(crate) use status::{Head, Status, read_head, read_trailers};
