//! Streams of renewals: what a server may say that is not so, and what becomes of the lease that it renews then (the victim),
//! and of another one on the same stream (the sibling). Afterwards the server is honest.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use etcdium_client::proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse, RangeResponse};
use etcdium_client::{ClientBuilder, ErrorKind, EtcdError, LeaseId, LeaseKeeper, LeaseLost, LeaseState};
use prost::Message;
use smol::future::zip;

use super::dialogue::{Dialogue, Said};
use super::everywhere;
use super::stage::{END, header};
use crate::server::{Server, grpc};

/// Seconds that a lease lives: it is renewed every three, and elsewhere when no answer comes for one and a half.
const TTL: i64 = 9;
const VICTIM: i64 = 7;
const SIBLING: i64 = 8;
/// The longest time to live that etcd grants, in seconds.
const LONGEST: u64 = 9_000_000_000;

/// Which renewals of the victim are answered with the lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// The first, which its user waits for.
    First,
    /// The first two.
    FirstTwo,
    /// The second, when both are kept.
    Later,
    /// The second and the third.
    LaterTwo,
}

/// What becomes of the victim.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is kept, as if nothing had been said.
    Same,
    /// It is kept, after it was asked for once more.
    Again,
    /// It is kept for so many seconds.
    For(u64),
    /// It is lost.
    Lost,
}

type Lie = Arc<dyn Fn(&mut Stage) -> io::Result<()> + Send + Sync>;

struct Case {
    name: String,
    moment: Moment,
    fate: Fate,
    /// Whether the stream is given up.
    breaks: bool,
    lie: Lie,
}

/// One connection of the server.
struct Stage {
    dialogue: Dialogue,
    /// The stream of the lie.
    stream: u32,
}

/// What was asked: which lease, on which stream of which connection.
type Record = Arc<Mutex<Vec<(i64, (usize, u32))>>>;

fn renewed(id: i64, ttl: i64) -> LeaseKeepAliveResponse {
    LeaseKeepAliveResponse { header: header(END), id, ttl }
}

impl Stage {
    fn tell(&mut self, id: i64, ttl: i64) -> io::Result<()> {
        self.dialogue.tell(self.stream, &renewed(id, ttl))
    }

    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.dialogue.raw(self.stream, bytes)
    }

    fn run(mut self, connection: usize, case: &Script) -> io::Result<()> {
        loop {
            match self.dialogue.next()? {
                Said::Message { stream, last: true, .. } => {
                    self.dialogue
                        .answer(stream, &RangeResponse { header: header(END), ..Default::default() })?;
                }
                Said::Message { stream, bytes, .. } => {
                    let id = LeaseKeepAliveRequest::decode(&bytes[..]).unwrap().id;
                    case.record.lock().unwrap().push((id, (connection, stream)));
                    let asked = if id == VICTIM { case.asked.fetch_add(1, Ordering::SeqCst) } else { 0 };
                    self.stream = stream;
                    if id == VICTIM && case.moment.covers(asked) {
                        (case.lie)(&mut self)?;
                    } else {
                        self.tell(id, TTL)?;
                    }
                }
                Said::Reset { .. } => {}
            }
        }
    }
}

impl Moment {
    /// Whether the lie is told, after so many renewals of the victim.
    fn covers(self, before: usize) -> bool {
        match self {
            Self::First => before == 0,
            Self::FirstTwo => before < 2,
            Self::Later => before == 1,
            Self::LaterTwo => before == 1 || before == 2,
        }
    }

    fn is_later(self) -> bool {
        matches!(self, Self::Later | Self::LaterTwo)
    }
}

struct Script {
    moment: Moment,
    lie: Lie,
    asked: AtomicUsize,
    record: Record,
}

#[test]
fn no_lie_costs_a_lease_anything_and_no_other_lease_suffers() {
    everywhere(&lies(), |case| case.name.clone(), perform);
}

async fn perform(builder: ClientBuilder, case: &Case) {
    let record = Record::default();
    let script = Script {
        moment: case.moment,
        lie: case.lie.clone(),
        asked: AtomicUsize::new(0),
        record: record.clone(),
    };
    let server = Server::start(move |connection, peer| {
        Stage { dialogue: Dialogue::new(peer)?, stream: 0 }.run(connection, &script)
    });
    let client = builder.endpoints(server.endpoint()).max_response_size(1 << 20).build().unwrap();
    let keep = |id| client.keep_alive(LeaseId::new(id).unwrap());
    let mut sibling = keep(SIBLING).await.unwrap();
    let begin = until(&sibling);
    let victim = keep(VICTIM).await;
    if matches!(case.fate, Fate::Lost) && !case.moment.is_later() {
        let error = victim.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Etcd(EtcdError::LeaseNotFound), "{error}");
    } else {
        let mut victim = victim.unwrap();
        if case.moment.is_later() {
            let (first, lost) = (until(&victim), matches!(case.fate, Fate::Lost));
            zip(moves(&mut victim, first, lost), moves(&mut sibling, begin, false)).await;
        }
        let seconds = match case.fate {
            Fate::For(seconds) => seconds,
            _ => TTL.unsigned_abs(),
        };
        if !case.moment.is_later() {
            assert_eq!(victim.ttl(), Duration::from_secs(seconds));
        }
        if victim.is_alive() {
            let left = until(&victim).saturating_duration_since(Instant::now());
            assert!(left <= Duration::from_secs(seconds), "{left:?}");
        }
    }
    assert!(sibling.is_alive());
    client.get("x").await.unwrap();

    let record = record.lock().unwrap();
    let asked = |id| record.iter().filter(move |(asked, _)| *asked == id);
    let streams = |id| {
        let mut streams: Vec<_> = asked(id).map(|(_, stream)| *stream).collect();
        streams.dedup();
        streams.len()
    };
    let before = usize::from(case.moment.is_later());
    let expected = match case.fate {
        Fate::Same | Fate::For(_) => 1,
        Fate::Again | Fate::Lost => 2,
    };
    // A slow machine may ask again because no answer has come in time.
    assert!(asked(VICTIM).count() >= before + expected, "{record:?}");
    if case.breaks {
        assert!(streams(VICTIM) >= 2, "{record:?}");
    } else {
        assert_eq!(streams(SIBLING), 1, "{record:?}");
    }
    client.close();
}

/// Until when a lease lives.
fn until(keeper: &LeaseKeeper) -> Instant {
    match keeper.state() {
        LeaseState::Alive { until } | LeaseState::AtRisk { until, .. } => until,
        other => panic!("{other:?}"),
    }
}

/// Waits until a lease lives for longer than that, or is lost if it is to be.
async fn moves(keeper: &mut LeaseKeeper, than: Instant, lost: bool) {
    loop {
        match keeper.changed().await {
            // By more than two looks at the same state may differ.
            LeaseState::Alive { until } if until > than + Duration::from_secs(1) && !lost => return,
            LeaseState::Lost { reason: LeaseLost::NotFound } if lost => return,
            LeaseState::Lost { reason } => panic!("{reason:?}"),
            _ => {}
        }
    }
}

/// Many leases, answered in any order, each with a time of its own: as etcd's grpc-proxy does.
#[test]
fn answers_in_any_order_find_their_lease() {
    const COUNT: i64 = 40;
    everywhere(
        &[()],
        |()| "any order".to_owned(),
        async |builder: ClientBuilder, ()| {
            let server = Server::start(|_, peer| {
                let mut stage = Stage { dialogue: Dialogue::new(peer)?, stream: 0 };
                let mut asked = Vec::new();
                loop {
                    let Said::Message { stream, bytes, .. } = stage.dialogue.next()? else { continue };
                    stage.stream = stream;
                    asked.push(LeaseKeepAliveRequest::decode(&bytes[..]).unwrap().id);
                    if asked.len() == COUNT as usize {
                        // Each place once, since 17 and 40 have no divisor in common.
                        for place in 0..asked.len() {
                            let id = asked[place * 17 % asked.len()];
                            stage.tell(id, 60 + id)?;
                        }
                    }
                }
            });
            let client = builder.endpoints(server.endpoint()).build().unwrap();
            // All are asked for before any is answered.
            let mut waiting: Vec<_> = (1..=COUNT)
                .map(|id| Box::pin(client.keep_alive(LeaseId::new(id).unwrap()).into_future()))
                .collect();
            for future in &mut waiting {
                assert!(smol::future::poll_once(future).await.is_none());
            }
            for (future, id) in waiting.into_iter().zip(1..) {
                let keeper = future.await.unwrap();
                assert_eq!(keeper.ttl(), Duration::from_secs(60 + id));
                assert!(keeper.is_alive());
            }
        },
    );
}

fn lies() -> Vec<Case> {
    use Fate::{Again, For, Lost, Same};
    use Moment::{First, FirstTwo, Later, LaterTwo};

    let mut cases = Vec::new();
    let mut add = |name: &str, moment: Moment, fate: Fate, breaks: bool, lie: Lie| {
        cases.push(Case { name: format!("{name} ({moment:?})"), moment, fate, breaks, lie });
    };
    for moment in [First, Later] {
        add(
            "answers for unknown leases",
            moment,
            Same,
            false,
            Arc::new(|stage| {
                for (id, ttl) in [(99, 60), (0, 0), (-1, 60), (i64::MIN, i64::MIN), (i64::MAX, i64::MAX)] {
                    stage.tell(id, ttl)?;
                }
                stage.tell(VICTIM, TTL)
            }),
        );
        add(
            "a flood for unknown leases",
            moment,
            Same,
            false,
            Arc::new(|stage| {
                (100..2_100).try_for_each(|id| stage.tell(id, 60))?;
                stage.tell(VICTIM, TTL)
            }),
        );
        add(
            "answers that nobody asked for",
            moment,
            Same,
            false,
            Arc::new(|stage| {
                stage.tell(VICTIM, TTL)?;
                for (id, ttl) in [(VICTIM, 600), (VICTIM, 0), (VICTIM, -1), (VICTIM, i64::MAX), (99, 0)] {
                    stage.tell(id, ttl)?;
                }
                Ok(())
            }),
        );
        add(
            "an empty message",
            moment,
            Same,
            false,
            Arc::new(|stage| {
                stage.raw(&[0; 5])?;
                stage.tell(VICTIM, TTL)
            }),
        );
        add(
            "no header",
            moment,
            Same,
            false,
            Arc::new(|stage| {
                let answer = LeaseKeepAliveResponse { header: None, ..renewed(VICTIM, TTL) };
                stage.dialogue.tell(stage.stream, &answer)
            }),
        );
        add("the longest time", moment, For(LONGEST), false, Arc::new(|stage| stage.tell(VICTIM, i64::MAX)));
        for ttl in [0, -1, i64::MIN] {
            let lie: Lie = Arc::new(move |stage| stage.tell(VICTIM, ttl));
            // A lagging leader may not know it yet: it is asked for once more.
            add(&format!("a time of {ttl}"), moment, Again, false, lie.clone());
            let twice = if moment == First { FirstTwo } else { LaterTwo };
            add(&format!("a time of {ttl}, twice"), twice, Lost, false, lie);
        }
        add(
            "a message that is none",
            moment,
            Again,
            true,
            Arc::new(|stage| stage.raw(&[0, 0, 0, 0, 3, 0xff, 0xff, 0xff])),
        );
        add("a compressed message", moment, Again, true, Arc::new(|stage| stage.raw(&[1, 0, 0, 0, 0])));
        add(
            "a message of 4 GiB",
            moment,
            Again,
            true,
            Arc::new(|stage| stage.raw(&[0, 0xff, 0xff, 0xff, 0xff])),
        );
        add(
            "a message that the stream's end cuts",
            moment,
            Again,
            true,
            Arc::new(|stage| {
                stage.raw(&grpc(&renewed(VICTIM, TTL))[..9])?;
                stage.dialogue.end(stage.stream, "0", "")
            }),
        );
        add(
            "a frame that the connection's end cuts",
            moment,
            Again,
            true,
            Arc::new(|stage| {
                stage.dialogue.cut(stage.stream, &renewed(VICTIM, TTL))?;
                Err(io::ErrorKind::Other.into())
            }),
        );
        add("no answer", moment, Again, true, Arc::new(|_| Ok(())));
        for code in [0, 1, 2, 7, 8, 11, 99] {
            add(
                &format!("RST_STREAM {code}"),
                moment,
                Again,
                true,
                Arc::new(move |stage| {
                    stage.raw(&grpc(&renewed(VICTIM, TTL))[..9])?;
                    stage.dialogue.reset(stage.stream, code)
                }),
            );
        }
        for code in (0..=17).chain([99]) {
            add(
                &format!("status {code}"),
                moment,
                Again,
                true,
                Arc::new(move |stage| stage.dialogue.end(stage.stream, &code.to_string(), "words")),
            );
        }
    }
    cases
}
