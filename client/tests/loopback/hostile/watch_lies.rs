//! The lies of servers of watches, each with what has to come of it.

use std::io;
use std::sync::Arc;

use etcdium_client::proto::etcdserverpb::WatchResponse;
use etcdium_client::proto::mvccpb::{Event, KeyValue};
use etcdium_client::{GrpcCode, Revision, WatchErrorKind};

use super::stage::{
    BEGIN, END, Lie, Moment, Stage, canceled, created, event, events, header, part, progress,
};
use crate::server::grpc;

/// What becomes of the victim.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// It goes on as it was.
    Same,
    /// It is asked for again, from this revision on; zero: as if for the first time.
    Again(i64),
    /// It ends.
    Ends(WatchErrorKind),
}

/// What becomes of the stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shared {
    /// It goes on, and the sibling notices nothing.
    Survives,
    /// It is given up for a cause with these words, and the sibling is asked for again.
    Breaks(&'static str),
    /// It ends for good, and the sibling with it.
    Ends,
}

/// A lie.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) moment: Moment,
    pub(super) lie: Lie,
    pub(super) fate: Fate,
    pub(super) shared: Shared,
    /// From where the sibling is asked for again, if it was there and the stream breaks.
    pub(super) sibling: i64,
    /// What the server is asked to cancel, if the stream survives.
    pub(super) cancels: &'static [i64],
}

use Fate::{Again, Ends, Same};
use Moment::{Creation, First, Live};
use Shared::{Breaks, Survives};

/// The victim was told of revision 11 and no more.
const AGAIN: Fate = Again(12);
/// It never began.
const ANEW: Fate = Again(0);

/// The id of the victim on the stream of the lie, and of its sibling.
const VICTIM: i64 = 2;
const SIBLING: i64 = 1;
/// An id that nobody asked for.
const NOBODY: i64 = 77;

fn case(
    name: impl Into<String>,
    moment: Moment,
    fate: Fate,
    shared: Shared,
    lie: impl Fn(&mut Stage) -> io::Result<()> + Send + Sync + 'static,
) -> Case {
    Case {
        name: name.into(),
        moment,
        lie: Arc::new(lie),
        fate,
        shared,
        sibling: if moment == Live { 13 } else { 11 },
        cancels: &[],
    }
}

impl Case {
    /// The stream breaks only when the sibling was told everything.
    fn late(self) -> Self {
        Self { sibling: END + 1, ..self }
    }

    fn cancels(self, ids: &'static [i64]) -> Self {
        Self { cancels: ids, ..self }
    }
}

/// All of them.
pub(super) fn lies() -> Vec<Case> {
    [about_ids(), about_creations(), about_revisions(), about_ends(), about_frames(), about_statuses()]
        .into_iter()
        .flatten()
        .collect()
}

fn about_ids() -> Vec<Case> {
    vec![
        case("events for an unknown id", Live, Same, Survives, |stage| {
            stage.tell(&events(NOBODY, &[13]))?;
            stage.tell(&part(NOBODY, &[15]))
        })
        .cancels(&[NOBODY]),
        case("empty responses", Live, Same, Survives, |stage| {
            stage.tell(&WatchResponse::default())?;
            stage.tell(&WatchResponse { watch_id: VICTIM, ..Default::default() })?;
            stage.tell(&WatchResponse { watch_id: VICTIM, fragment: true, ..Default::default() })
        })
        .cancels(&[0]),
        case("a flood for unknown ids", Live, AGAIN, Breaks("nobody asked for"), |stage| {
            // Less than the window of the stream, then silence.
            for id in NOBODY..NOBODY + 8_000 {
                if stage.is_given_up()? {
                    return Ok(());
                }
                stage.tell(&events(id, &[13]))?;
            }
            stage.wait_until_given_up()
        }),
        case("a flood of cancellations of unknown ids", Live, Same, Survives, |stage| {
            (NOBODY..NOBODY + 5_000).try_for_each(|id| stage.tell(&canceled(id)))
        }),
        case("a flood of empty responses for one id", Live, Same, Survives, |stage| {
            (0..5_000).try_for_each(|_| stage.tell(&WatchResponse::default()))
        })
        .cancels(&[0]),
    ]
}

fn about_creations() -> Vec<Case> {
    let nobody = "confirmed that nobody asked for";
    let wrong = "confirmed under a wrong id";
    vec![
        case("created twice", Live, AGAIN, Breaks(nobody), |stage| stage.tell(&created(VICTIM, END))),
        case("created without being asked", Live, AGAIN, Breaks(nobody), |stage| {
            stage.tell(&created(NOBODY, END))
        }),
        case("created under another id", Creation, ANEW, Breaks(wrong), |stage| {
            stage.tell(&created(NOBODY, BEGIN))
        }),
        case("created under the sibling's id", Creation, ANEW, Breaks(wrong), |stage| {
            stage.tell(&created(SIBLING, BEGIN))
        }),
        case("created under a negative id", First, ANEW, Breaks(wrong), |stage| {
            stage.tell(&created(-5, BEGIN))
        }),
        // As a grpc-proxy does: its ids are taken over.
        case("the first is created under another id", First, Same, Survives, |stage| {
            stage.tell(&created(NOBODY, BEGIN))?;
            stage.register(NOBODY, "k", BEGIN + 1);
            Ok(())
        }),
        case("created without a header", Creation, Same, Survives, |stage| {
            stage.tell(&WatchResponse { header: None, ..created(VICTIM, 0) })?;
            stage.register(VICTIM, "k", BEGIN + 1);
            Ok(())
        }),
        case("the first is created without a revision", First, Same, Survives, |stage| {
            stage.tell(&created(stage.victim, 0))?;
            stage.register(stage.victim, "k", BEGIN + 1);
            Ok(())
        }),
        case("created at the last revision there is", Creation, Same, Survives, |stage| {
            stage.tell(&created(VICTIM, i64::MAX))?;
            stage.register(VICTIM, "k", BEGIN + 1);
            Ok(())
        }),
        case("created with events", Creation, Same, Survives, |stage| {
            let events = vec![event(11)];
            stage.tell(&WatchResponse { events, ..created(VICTIM, BEGIN) })?;
            stage.register(VICTIM, "k", BEGIN + 1);
            Ok(())
        }),
        case("canceled without being created", Creation, Same, Survives, |stage| {
            stage.tell(&canceled(VICTIM))?;
            stage.confirm(VICTIM, "k", 0)
        }),
        case("events before it is created", Creation, ANEW, Breaks("a watch"), |stage| {
            stage.tell(&events(VICTIM, &[11]))?;
            stage.confirm(VICTIM, "k", 0)
        }),
        case("never created", Creation, ANEW, Breaks("does not answer a creation"), |_| Ok(())).late(),
        case("canceled and never created", Creation, ANEW, Breaks("does not answer a creation"), |stage| {
            stage.tell(&canceled(VICTIM))
        })
        .late(),
        case("refused without a word", Creation, ANEW, Survives, |stage| {
            stage.tell(&WatchResponse { canceled: true, ..created(-1, BEGIN) })
        }),
        case("created with a made-up compaction", Creation, Same, Survives, |stage| {
            stage.tell(&WatchResponse { compact_revision: 1_000, ..created(VICTIM, BEGIN) })?;
            stage.register(VICTIM, "k", BEGIN + 1);
            Ok(())
        }),
        case("refused with a made-up compaction", Creation, ANEW, Survives, |stage| {
            stage.tell(&WatchResponse {
                canceled: true,
                compact_revision: i64::MAX,
                ..created(VICTIM, BEGIN)
            })
        }),
    ]
}

fn about_revisions() -> Vec<Case> {
    let order = "events came out of order";
    let strange = |name: &str, revision: i64| {
        case(format!("an event of {name}"), Live, AGAIN, Breaks(order), move |stage| {
            let kv = KeyValue { mod_revision: revision, ..event(13).kv.unwrap() };
            let events = vec![Event { kv: Some(kv), ..Event::default() }];
            stage.tell(&WatchResponse { events, ..events_of_victim() })
        })
    };
    let idle = |name: &str, revision: i64| {
        case(format!("progress at {name}"), Live, Same, Survives, move |stage| {
            stage.tell(&progress(VICTIM, revision))
        })
    };
    let kind = |revision| Ends(WatchErrorKind::Inconsistent { revision: Revision::new(revision) });
    vec![
        case("revisions go back in a response", Live, AGAIN, Breaks(order), |stage| {
            stage.tell(&events(VICTIM, &[15, 13]))
        }),
        case("revisions go back", Live, Same, Survives, |stage| {
            stage.tell(&events(VICTIM, &[13, 15]))?;
            stage.tell(&events(VICTIM, &[11]))?;
            stage.tell(&events(VICTIM, &[13]))
        }),
        case("revisions from before the watch", Live, Same, Survives, |stage| {
            stage.tell(&events(VICTIM, &[1, 3, 5]))
        }),
        strange("revision zero", 0),
        strange("a negative revision", -13),
        strange("the last revision there is", i64::MAX),
        case("an event of nothing", Live, AGAIN, Breaks(order), |stage| {
            stage.tell(&WatchResponse { events: vec![Event::default()], ..events_of_victim() })
        }),
        case("a pair before that is another's", Live, Same, Survives, |stage| {
            let before = KeyValue { key: "z".into(), mod_revision: 99, ..KeyValue::default() };
            let events = vec![Event { prev_kv: Some(before), ..event(13) }];
            stage.tell(&WatchResponse { events, ..events_of_victim() })
        }),
        case("events without a header", Live, Same, Survives, |stage| {
            stage.tell(&WatchResponse { header: None, ..events(VICTIM, &[13]) })?;
            stage.tell(&WatchResponse { header: header(0), ..events(VICTIM, &[15]) })
        }),
        case("a header that goes back", Live, Same, Survives, |stage| {
            stage.tell(&WatchResponse { header: header(1), ..events(VICTIM, &[13]) })
        }),
        case("a header far ahead", Live, Same, Survives, |stage| {
            stage.tell(&WatchResponse { header: header(1 << 40), ..events(VICTIM, &[13]) })
        }),
        idle("nothing", 0),
        idle("a negative revision", i64::MIN),
        idle("the last revision there is", i64::MAX),
        idle("what was long told", 5),
        case("progress for all that nobody asked for", Live, Same, Survives, |stage| {
            stage.tell(&progress(-1, 1_000))
        }),
        case("progress, and then older events", Live, kind(13), Survives, |stage| {
            stage.tell(&progress(VICTIM, 16))?;
            stage.tell(&events(VICTIM, &[13]))
        })
        .cancels(&[VICTIM]),
        case("fragments that go back", Live, Again(14), Breaks(order), |stage| {
            stage.tell(&part(VICTIM, &[13, 15]))?;
            stage.tell(&part(VICTIM, &[13]))
        }),
        case("progress amid fragments", Live, Same, Survives, |stage| {
            stage.skip(VICTIM, 14);
            stage.tell(&part(VICTIM, &[13]))?;
            stage.tell(&progress(VICTIM, END))
        }),
        case("fragments without a last one", Live, Same, Survives, |stage| {
            stage.skip(VICTIM, 14);
            stage.tell(&part(VICTIM, &[13]))
        }),
        case("fragments that the stream's end cuts", Live, AGAIN, Breaks("ended the stream"), |stage| {
            stage.tell(&part(VICTIM, &[13]))?;
            stage.tell(&part(SIBLING, &[14]))?;
            stage.end("0", "")
        }),
        case("fragments that a reset cuts", Live, AGAIN, Breaks("reset"), |stage| {
            stage.tell(&part(VICTIM, &[13]))?;
            stage.reset(2)
        }),
        case("fragments that the connection's end cuts", Live, AGAIN, Breaks("connection"), |stage| {
            stage.tell(&part(VICTIM, &[13]))?;
            Err(io::ErrorKind::Other.into())
        }),
    ]
}

fn events_of_victim() -> WatchResponse {
    WatchResponse { header: header(END), watch_id: VICTIM, ..Default::default() }
}

fn about_ends() -> Vec<Case> {
    let ended = |name: &str, fate: Fate, compacted: i64, reason: &'static str| {
        let cancels: &[i64] = if compacted == 0 { &[] } else { &[VICTIM] };
        case(format!("canceled: {name}"), Live, fate, Survives, move |stage| {
            stage.forget(VICTIM);
            let end = WatchResponse {
                compact_revision: compacted,
                cancel_reason: reason.to_owned(),
                ..canceled(VICTIM)
            };
            stage.tell(&end)
        })
        .cancels(cancels)
    };
    let compacted = |oldest| Ends(WatchErrorKind::Compacted { oldest: Revision::new(oldest) });
    vec![
        ended("no word", AGAIN, 0, ""),
        ended("another id was there", AGAIN, 0, "mvcc: duplicate watch ID provided on the WatchStream"),
        ended(
            "nonsense",
            Ends(WatchErrorKind::Refused { code: GrpcCode::Unknown, reason: "what".into() }),
            0,
            "what",
        ),
        ended(
            "not allowed",
            Ends(WatchErrorKind::Unauthorized { reason: "etcdserver: permission denied".into() }),
            0,
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
        ),
        ended("a compaction ahead", compacted(1_000), 1_000, ""),
        ended("everything is compacted", compacted(i64::MAX), i64::MAX, ""),
        ended("a compaction of what it had", AGAIN, 12, ""),
        ended("a compaction long ago", AGAIN, 1, ""),
        ended("a negative compaction", AGAIN, -5, ""),
        ended("the most negative compaction", AGAIN, i64::MIN, ""),
        case("canceled twice", Live, AGAIN, Survives, |stage| {
            stage.forget(VICTIM);
            stage.tell(&canceled(VICTIM))?;
            stage.tell(&canceled(VICTIM))
        }),
        case("canceled with events", Live, AGAIN, Survives, |stage| {
            stage.forget(VICTIM);
            stage.tell(&WatchResponse { events: vec![event(13)], ..canceled(VICTIM) })
        }),
        case("events after it was canceled", Live, AGAIN, Survives, |stage| {
            stage.forget(VICTIM);
            stage.tell(&canceled(VICTIM))?;
            stage.tell(&events(VICTIM, &[13]))
        })
        .cancels(&[VICTIM]),
    ]
}

fn about_frames() -> Vec<Case> {
    let too_large = || {
        let reason = "received a message of 4294967295 bytes, larger than the limit of 1048576".to_owned();
        Ends(WatchErrorKind::Refused { code: GrpcCode::ResourceExhausted, reason })
    };
    let mut cases = vec![
        case("a message that is none", Live, AGAIN, Breaks("message"), |stage| {
            stage.raw(&[0, 0, 0, 0, 3, 0xff, 0xff, 0xff])
        }),
        case("a compressed message", Live, AGAIN, Breaks("compressed"), |stage| stage.raw(&[1, 0, 0, 0, 0])),
        case("a message of 4 GiB", Live, too_large(), Shared::Ends, |stage| {
            stage.raw(&[0, 0xff, 0xff, 0xff, 0xff])
        }),
        case("a message that the stream's end cuts", Live, AGAIN, Breaks("inside a message"), |stage| {
            stage.raw(&grpc(&events(VICTIM, &[13]))[..9])?;
            stage.end("0", "")
        }),
        case("a frame that the connection's end cuts", Live, AGAIN, Breaks("connection"), |stage| {
            stage.dialogue.cut(stage.stream, &events(VICTIM, &[13]))?;
            Err(io::ErrorKind::Other.into())
        }),
        case("a stream that ends without a status", Live, AGAIN, Breaks("status"), |stage| {
            stage.dialogue.stop(stage.stream)?;
            stage.over(stage.stream);
            Ok(())
        }),
        case("an answer of another protocol", First, ANEW, Breaks(""), |stage| {
            stage.dialogue.page(stage.stream)?;
            stage.over(stage.stream);
            Ok(())
        }),
    ];
    for code in [0, 1, 2, 7, 8, 11, 99] {
        let words = match code {
            0 => "without a gRPC status",
            7 => "refused the request",
            _ => "reset",
        };
        cases.push(case(
            format!("a message that RST_STREAM {code} cuts"),
            Live,
            AGAIN,
            Breaks(words),
            move |stage| {
                stage.raw(&grpc(&events(VICTIM, &[13]))[..9])?;
                stage.reset(code)
            },
        ));
        cases.push(case(format!("RST_STREAM {code} at once"), First, ANEW, Breaks(""), move |stage| {
            stage.reset(code)
        }));
    }
    cases
}

/// The stream ends with a status: at once, and after a while.
fn about_statuses() -> Vec<Case> {
    let texts = [
        (14, "etcdserver: no leader"),
        (14, "etcdserver: server stopped"),
        (3, "etcdserver: user name is empty"),
    ];
    let plain = (0..=17).chain([99]).map(|code| (code, "words"));
    let mut cases = Vec::new();
    for (code, text) in plain.chain(texts) {
        let end = match code {
            3 if text != "words" => Some(WatchErrorKind::Unauthorized { reason: text.to_owned() }),
            7 | 16 => Some(WatchErrorKind::Unauthorized { reason: text.to_owned() }),
            12 => Some(WatchErrorKind::Refused { code: GrpcCode::Unimplemented, reason: text.to_owned() }),
            _ => None,
        };
        let words = if code == 0 { "ended the stream" } else { text };
        for (moment, again) in [(First, ANEW), (Live, AGAIN)] {
            let (fate, shared) = match (&end, moment) {
                (Some(kind), Live) => (Ends(kind.clone()), Shared::Ends),
                // The sibling comes after that.
                (Some(kind), _) => (Ends(kind.clone()), Survives),
                (None, _) => (again, Breaks(words)),
            };
            let name = format!("status {code} {text:?} ({moment:?})");
            cases.push(case(name, moment, fate, shared, move |stage| stage.end(&code.to_string(), text)));
        }
    }
    cases
}
