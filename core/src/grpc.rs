//! How gRPC says what became of a call: status codes, response heads and trailers.

mod code;
mod status;

pub use code::GrpcCode;
pub use status::{Head, InvalidHead, Status, read_head, read_trailers};
