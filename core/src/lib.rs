//! Sans-IO protocol core of the etcdium etcd client.
//!
//! [`Core`] makes every decision of an etcd client and touches nothing: no socket, clock, thread or random source. A
//! *driver* owns those and moves values between them and the core. `etcdium-client` is a driver over hyper for any
//! async runtime; an event loop of any kind can be another.
//!
//! # The contract
//!
//! * The application side starts operations ([`Core::start`]), redeems them after [`Event::OpDone`]
//!   ([`Core::take`]) or gives them up ([`Core::cancel`]). It opens streams ([`Core::open`]), sends on those that take
//!   more than one message ([`Core::send`], [`Core::finish`]), pulls what came, and last the end, after
//!   [`Event::StreamReadable`] ([`Core::next`]), or gives them up ([`Core::cancel_stream`]).
//! * The transport side tells what happened to connections ([`Core::handle_endpoint`]) and calls
//!   ([`Core::handle_call`]), and that time has passed ([`Core::handle_timeout`]).
//! * After any of these the driver drains [`Core::poll_transmit`], carrying out what it says in order, then
//!   [`Core::poll_event`], and then re-reads [`Core::poll_timeout`]. Any number of inputs may come before a drain.
//! * A call is one request and one response. A driver sends what [`Transmit::Open`], [`Transmit::Send`] and
//!   [`Transmit::Finish`] say, in order, reads each response as it comes, whether anybody takes it or not, and tells its
//!   head, its data and its end. With the end of the response, or [`Transmit::Reset`], both are over.
//! * Inputs cannot fail. A key the core has let go of is ignored, so late news needs no care. What was queued before
//!   such news may name keys the driver has let go of: that is to be ignored too.
//!
//! # A driver
//!
//! All of the contract, with a server that is made up on the spot:
//!
//! ```
//! use std::time::Instant;
//!
//! use etcdium_core::{
//!     CallInput, CallOptions, Cause, CauseKind, Config, Core, EndpointInput, Event, TimerReason, Transmit,
//! };
//! use etcdium_proto::etcdserverpb::{PutRequest, PutResponse, ResponseHeader};
//! use http::{HeaderMap, HeaderValue, StatusCode};
//! use prost::Message;
//!
//! let mut now = Instant::now();
//! let mut core = Core::new(Config::new(["127.0.0.1:2379".parse()?]), now, 42);
//! let request = PutRequest { key: "k".into(), value: "v".into(), ..Default::default() };
//! let put = core.start(now, &request, &CallOptions::new());
//! let mut refused = false;
//! let response = loop {
//!     // First what to do. This server refuses the first connection and answers every request.
//!     while let Some(transmit) = core.poll_transmit() {
//!         match transmit {
//!             Transmit::Connect(connect) if !refused => {
//!                 refused = true;
//!                 let cause = Cause::from(CauseKind::ClosedByServer);
//!                 core.handle_endpoint(now, connect.connection, EndpointInput::ConnectFailed(cause));
//!             }
//!             Transmit::Connect(connect) => {
//!                 core.handle_endpoint(now, connect.connection, EndpointInput::Connected);
//!             }
//!             Transmit::Open(open) => {
//!                 assert_eq!(open.method.path(), "/etcdserverpb.KV/Put");
//!                 let headers = open.headers();
//!                 let mut head = HeaderMap::new();
//!                 head.insert("content-type", headers["content-type"].clone());
//!                 let input = CallInput::Head { status: StatusCode::OK, headers: &head, end: false };
//!                 core.handle_call(now, open.call, input);
//!                 let header = Some(ResponseHeader { revision: 7, ..Default::default() });
//!                 let message = PutResponse { header, ..Default::default() }.encode_to_vec();
//!                 let framed = [&[0, 0, 0, 0, message.len() as u8], &message[..]].concat();
//!                 core.handle_call(now, open.call, CallInput::Data(framed.into()));
//!                 let mut trailers = HeaderMap::new();
//!                 trailers.insert("grpc-status", HeaderValue::from_static("0"));
//!                 core.handle_call(now, open.call, CallInput::End(Some(&trailers)));
//!             }
//!             _ => {} // Nothing here outlives its input: there is nothing to reset or to disconnect.
//!         }
//!     }
//!     // Then what happened.
//!     if std::iter::from_fn(|| core.poll_event()).any(|event| event == Event::OpDone(put.key())) {
//!         break core.take(&put).unwrap()?;
//!     }
//!     // Then sleep, but for no longer than this. Here the back-off before the second connection passes at once.
//!     assert_eq!(core.timeout_reason(), Some(TimerReason::Reconnect));
//!     now = core.poll_timeout().unwrap();
//!     core.handle_timeout(now);
//! };
//! assert_eq!(response.header.unwrap().revision, 7);
//! assert_eq!(core.revision().get(), 7);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
mod decode;
mod error;
mod etcd_error;
mod event;
mod frame;
mod grpc;
mod ids;
mod input;
mod key;
mod key_range;
mod lease;
mod machine;
mod metadata;
mod op;
#[cfg(etcdium_planted)]
mod planted;
mod preface;
mod retry;
mod revision;
mod rng;
mod slab;
mod stats;
mod stream;
mod timer;
mod trace;
mod transmit;
mod watch;

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
pub use key::{CallKey, ConnectionKey, EndpointKey, KeeperKey, OpKey, StreamKey, WatchKey};
pub use key_range::{Key, KeyRange, prefix_end};
pub use lease::{Kept, LeaseLost, LeaseState, OnDrop};
pub use machine::{Core, TimerReason};
pub use metadata::Metadata;
pub use op::{Op, Reply};
#[cfg(etcdium_planted)]
pub use planted::Planted;
pub use preface::{Preface, Verdict, WrongServer};
pub use stats::Stats;
pub use stream::{Stream, StreamItem};
pub use transmit::{Connect, Open, Transmit};
pub use watch::{
    Events, IntoIter, ProgressError, WatchError, WatchErrorKind, WatchItem, WatchNext, WatchRequest, WatchRun,
};
