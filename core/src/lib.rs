//! Sans-IO protocol core of the etcdium etcd client.
//!
//! [`Core`] makes every decision of an etcd client and touches nothing: no socket, clock, thread or random source. A
//! *driver* owns those and moves values between them and the core. `etcdium-client` is a driver over hyper for any
//! async runtime; an event loop of any kind can be another.
//!
//! # The contract
//!
//! * The application side starts operations ([`Core::start`]), redeems them after [`Event::OpDone`]
//!   ([`Core::take`]) or gives them up ([`Core::cancel`]).
//! * The transport side tells what happened to connections ([`Core::handle_endpoint`]) and calls
//!   ([`Core::handle_call`]), and that time has passed ([`Core::handle_timeout`]).
//! * After any of these the driver drains [`Core::poll_transmit`], carrying out what it says in order, then
//!   [`Core::poll_event`], and then re-reads [`Core::poll_timeout`]. Any number of inputs may come before a drain.
//! * Inputs cannot fail. A key the core has let go of is ignored, so late news needs no care.
//!
//! # Where things are
//!
//! The map of the crate is the list of modules below; each file says what it holds.

#![forbid(unsafe_code)]

mod address;
mod backoff;
mod call;
mod cause;
mod config;
mod error;
mod etcd_error;
mod event;
mod frame;
mod grpc;
mod ids;
mod input;
mod key;
mod key_range;
mod machine;
mod metadata;
mod op;
mod preface;
mod retry;
mod revision;
mod rng;
mod slab;
mod stats;
mod timer;
mod transmit;

pub use address::{Address, AddressError, AddressErrorKind, Security, Target};
pub use backoff::BackoffConfig;
pub use cause::{Cause, CauseKind};
pub use config::{CallOptions, Config};
pub use error::{EndpointCause, Error, ErrorKind, InvalidRequest, Outcome, ProtocolError};
pub use etcd_error::EtcdError;
pub use event::{EndpointStatus, Event};
pub use frame::{FrameDecoder, FrameError};
pub use grpc::{GrpcCode, InvalidHead};
pub use ids::{ClusterId, LeaseId, MemberId, Revision};
pub use input::{CallInput, EndpointInput, ResetCause};
pub use key::{CallKey, ConnectionKey, EndpointKey, OpKey};
pub use key_range::{Key, KeyRange, prefix_end};
pub use machine::{Core, TimerReason};
pub use metadata::Metadata;
pub use op::{Op, Reply};
pub use preface::{Preface, Verdict, WrongServer};
pub use stats::Stats;
pub use transmit::{Connect, Open, Transmit};
