//! Random lives of a core: what is done to it, step by step.

use etcdium_core::{Cause, CauseKind, EtcdError, ResetCause};
use proptest::prelude::*;

/// One thing that is done to the core. Numbers choose among all keys ever seen, live or not.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Put {
        timeout: Option<u16>,
        endpoint: Option<u8>,
    },
    Get {
        timeout: Option<u16>,
        endpoint: Option<u8>,
    },
    Connect {
        timeout: Option<u16>,
        endpoint: Option<u8>,
    },
    /// Opens a stream of renewals.
    Open {
        timeout: Option<u16>,
        endpoint: Option<u8>,
    },
    Stream(u8, StreamUse),
    Cancel(u8),
    Take(u8),
    /// Makes a connection that is asked for.
    Accept(u8),
    Endpoint(u8, EndpointNews),
    /// News of a call that is open.
    LiveCall(u8, CallNews),
    /// News of any call there ever was.
    AnyCall(u8, CallNews),
    SetEndpoints(u8),
    Close,
    Advance(u16),
    /// Time goes on and nobody tells the core.
    Pass(u16),
    /// The clock goes back.
    Back(u16),
    /// Gives inputs without looking at outputs from now on, or looks again.
    Busy(bool),
}

/// What an application does with a stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum StreamUse {
    Send,
    Finish,
    Cancel,
    /// Takes one item.
    Next,
    /// Takes all there is.
    Drain,
}

#[derive(Clone, Debug)]
pub(super) enum EndpointNews {
    Connected,
    Failed,
    Received,
    GoingAway,
    Closed,
    TooManyPings,
}

#[derive(Clone, Debug)]
pub(super) enum CallNews {
    Head,
    BadHead {
        end: bool,
    },
    GatewayHead,
    Data(Chunk),
    End(Said),
    NoTrailers,
    /// A status in a head.
    Only(Said),
    Reset(ResetCause),
    /// All of a good answer.
    Answer,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Chunk {
    Message,
    Half,
    Two,
    Garbage,
    Nothing,
    Huge,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
    Ok,
    NoLeader,
    LeaderChanged,
    TooManyRequests,
    EmptyKey,
    Unavailable,
    Internal,
}

impl Said {
    pub(super) fn code_and_text(self) -> (u32, &'static str) {
        match self {
            Self::Ok => (0, ""),
            Self::NoLeader => (14, EtcdError::NoLeader.text()),
            Self::LeaderChanged => (14, EtcdError::LeaderChanged.text()),
            Self::TooManyRequests => (2, EtcdError::TooManyRequests.text()),
            Self::EmptyKey => (3, EtcdError::EmptyKey.text()),
            Self::Unavailable => (14, "gone"),
            Self::Internal => (13, "broken"),
        }
    }

    /// Whether it proves that a write was not applied.
    pub(super) fn is_proof(self) -> bool {
        matches!(self, Self::NoLeader | Self::TooManyRequests | Self::EmptyKey)
    }
}

fn stream_use() -> impl Strategy<Value = StreamUse> {
    prop::sample::select(vec![
        StreamUse::Send,
        StreamUse::Send,
        StreamUse::Finish,
        StreamUse::Cancel,
        StreamUse::Next,
        StreamUse::Next,
        StreamUse::Drain,
    ])
}

fn said() -> impl Strategy<Value = Said> {
    prop::sample::select(vec![
        Said::Ok,
        Said::NoLeader,
        Said::LeaderChanged,
        Said::TooManyRequests,
        Said::EmptyKey,
        Said::Unavailable,
        Said::Internal,
    ])
}

fn chunk() -> impl Strategy<Value = Chunk> {
    prop::sample::select(vec![
        Chunk::Message,
        Chunk::Message,
        Chunk::Half,
        Chunk::Two,
        Chunk::Garbage,
        Chunk::Nothing,
        Chunk::Huge,
    ])
}

fn reset_cause() -> impl Strategy<Value = ResetCause> {
    prop::sample::select(vec![
        ResetCause::NotSent,
        ResetCause::Refused,
        ResetCause::GoAway,
        ResetCause::Stream(8),
        ResetCause::Connection(Cause::from(CauseKind::ClosedByServer)),
    ])
}

fn call_news() -> impl Strategy<Value = CallNews> {
    prop_oneof![
        3 => Just(CallNews::Head),
        1 => any::<bool>().prop_map(|end| CallNews::BadHead { end }),
        1 => Just(CallNews::GatewayHead),
        3 => chunk().prop_map(CallNews::Data),
        3 => said().prop_map(CallNews::End),
        1 => Just(CallNews::NoTrailers),
        3 => said().prop_map(CallNews::Only),
        3 => reset_cause().prop_map(CallNews::Reset),
        3 => Just(CallNews::Answer),
    ]
}

fn endpoint_news() -> impl Strategy<Value = EndpointNews> {
    prop_oneof![
        2 => Just(EndpointNews::Connected),
        2 => Just(EndpointNews::Failed),
        2 => Just(EndpointNews::Received),
        1 => Just(EndpointNews::GoingAway),
        1 => Just(EndpointNews::Closed),
        1 => Just(EndpointNews::TooManyPings),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let timeout = || prop::option::of(0..4000_u16);
    let endpoint = || prop::option::weighted(0.2, any::<u8>());
    prop_oneof![
        6 => (timeout(), endpoint()).prop_map(|(timeout, endpoint)| Step::Put { timeout, endpoint }),
        4 => (timeout(), endpoint()).prop_map(|(timeout, endpoint)| Step::Get { timeout, endpoint }),
        1 => (timeout(), endpoint()).prop_map(|(timeout, endpoint)| Step::Connect { timeout, endpoint }),
        2 => (timeout(), endpoint()).prop_map(|(timeout, endpoint)| Step::Open { timeout, endpoint }),
        5 => (any::<u8>(), stream_use()).prop_map(|(n, action)| Step::Stream(n, action)),
        2 => any::<u8>().prop_map(Step::Cancel),
        1 => any::<u8>().prop_map(Step::Take),
        6 => any::<u8>().prop_map(Step::Accept),
        3 => (any::<u8>(), endpoint_news()).prop_map(|(n, news)| Step::Endpoint(n, news)),
        10 => (any::<u8>(), call_news()).prop_map(|(n, news)| Step::LiveCall(n, news)),
        2 => (any::<u8>(), call_news()).prop_map(|(n, news)| Step::AnyCall(n, news)),
        1 => any::<u8>().prop_map(Step::SetEndpoints),
        5 => (0..1500_u16).prop_map(Step::Advance),
        1 => (0..1500_u16).prop_map(Step::Pass),
        1 => (0..1500_u16).prop_map(Step::Back),
        2 => any::<bool>().prop_map(Step::Busy),
    ]
}

/// A life of a core: mostly left open, sometimes closed somewhere.
pub(super) fn script() -> impl Strategy<Value = Vec<Step>> {
    let close = prop::option::weighted(0.15, any::<prop::sample::Index>());
    (prop::collection::vec(step(), 0..150), close).prop_map(|(mut steps, close)| {
        if let Some(at) = close {
            steps.insert(at.index(steps.len() + 1), Step::Close);
        }
        steps
    })
}
