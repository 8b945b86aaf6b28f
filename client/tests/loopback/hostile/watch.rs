//! Streams of watches: what a server may say that is not so, and what becomes of the watch it is said to (the victim), and of
//! another one on the same stream (the sibling). Whatever it was, the server is honest afterwards, and both have to give just
//! what happened. The lies themselves are in `watch_lies.rs`.

use std::sync::Arc;

use etcdium_client::{ClientBuilder, Revision, WatchError, WatchErrorKind, WatchItem, Watcher};
use smol::future::{poll_once, zip};

use super::everywhere;
use super::stage::{Asked, END, Moment, key_at, part, serve};
use super::watch_lies::{Case, Fate, Shared, lies};

#[test]
fn no_lie_costs_a_watch_anything_and_no_other_watch_suffers() {
    everywhere(&lies(), |case| case.name.clone(), perform);
}

/// A revision of which more was announced is given to nobody, and its watch can be cancelled.
#[test]
fn what_is_not_whole_is_not_given() {
    everywhere(
        &[()],
        |()| "silence".to_owned(),
        async |builder: ClientBuilder, ()| {
            let (server, record) = serve(
                Moment::Live,
                Arc::new(|stage| {
                    stage.tell(&part(stage.victim, &[13]))?;
                    stage.skip(stage.victim, END + 1);
                    Ok(())
                }),
            );
            let client = builder.endpoints(server.endpoint()).build().unwrap();
            let sibling = client.watch("l").await;
            let mut victim = client.watch("k").await.unwrap();
            assert_eq!(Story::of("l", sibling).await.end, None);
            assert!(matches!(victim.next().await, Some(Ok(WatchItem::Events { .. }))));
            client.get("x").await.unwrap();
            let more = poll_once(victim.next()).await;
            assert!(more.is_none(), "{more:?}");
            assert_eq!(victim.next_revision(), Some(Revision::new(12)));
            victim.cancel().await;
            assert_eq!(record.lock().unwrap().cancelled.last(), Some(&2));
        },
    );
}

/// Answers to a request for progress that cannot be true, or are of a member that is behind, are not taken for one.
#[test]
fn progress_is_asked_for_until_it_makes_sense() {
    everywhere(
        &[()],
        |()| "progress".to_owned(),
        async |builder: ClientBuilder, ()| {
            let (server, _) = serve(Moment::Live, Arc::new(|_| Ok(())));
            let client = builder.endpoints(server.endpoint()).build().unwrap();
            let sibling = client.watch("l").await;
            let story = Story::of("k", client.watch("k").await).await;
            // The client knows now at which revision the server is.
            client.get("x").await.unwrap();
            assert_eq!(story.watcher.unwrap().request_progress().await, Ok(Revision::new(END)));
            assert_eq!(Story::of("l", sibling).await.end, None);
        },
    );
}

async fn perform(builder: ClientBuilder, case: &Case) {
    let (server, record) = serve(case.moment, case.lie.clone());
    let client = builder.endpoints(server.endpoint()).max_response_size(1 << 20).build().unwrap();
    let watch = |key| client.watch(key).prev_kv().progress_notify().connection_notices();
    let (victim, sibling) = match case.moment {
        Moment::First => {
            let victim = watch("k").await;
            (victim, watch("l").await)
        }
        Moment::Creation | Moment::Live => {
            let sibling = watch("l").await;
            (watch("k").await, sibling)
        }
    };
    let (mut victim, mut sibling) = zip(Story::of("k", victim), Story::of("l", sibling)).await;

    // Each has told what happened, or has ended.
    match (&case.fate, &victim.end) {
        (Fate::Ends(kind), Some(end)) => assert!(is_so(end.kind(), kind), "{end}"),
        (Fate::Ends(kind), None) => panic!("it does not end with {kind:?}"),
        (_, end) => assert_eq!(end, &None),
    }
    assert_eq!(sibling.end.is_some(), matches!(case.shared, Shared::Ends), "{:?}", sibling.end);

    // It was asked for no more than that takes, and from the right revision.
    let (broke, words) = match case.shared {
        Shared::Breaks(words) => (true, words),
        Shared::Survives | Shared::Ends => (false, ""),
    };
    let asked = |key: &'static str, again: Option<i64>| -> Vec<Asked> {
        [Some(0), again].into_iter().flatten().map(|start| Asked { key, start }).collect()
    };
    let again = match case.fate {
        Fate::Again(start) => Some(start),
        Fate::Same | Fate::Ends(_) => None,
    };
    // If it did not come after the lie.
    let asked_again = (broke && case.moment != Moment::First).then_some(case.sibling);
    let record_of = |key| {
        let all = record.lock().unwrap().asked.clone();
        all.into_iter().filter(|asked| asked.key == key).collect::<Vec<_>>()
    };
    assert_eq!(record_of("k"), asked("k", again));
    assert_eq!(record_of("l"), asked("l", asked_again), "{:?}", sibling.causes);

    // Whatever came before this answer was read, and whatever was said before it was heard: there was nothing else.
    client.get("x").await.unwrap();
    if !broke {
        assert_eq!(record.lock().unwrap().cancelled, case.cancels);
    }
    victim.look().await;
    sibling.look().await;

    // The cause is told to whom it concerns.
    let causes = usize::from(!matches!(case.shared, Shared::Survives) && case.moment != Moment::First);
    assert_eq!(sibling.causes.len(), causes, "{:?}", sibling.causes);
    assert!(sibling.causes.iter().all(|cause| cause.contains(words)), "{:?}", sibling.causes);

    let stats = client.stats();
    let over = usize::from(victim.end.is_some()) + usize::from(sibling.end.is_some());
    assert_eq!((stats.watches, stats.ops), (2 - over, 0), "{stats:?}");
    client.close();
}

/// Whether a watch ended for this cause; the words of a refusal may have more around them.
fn is_so(end: &WatchErrorKind, expected: &WatchErrorKind) -> bool {
    match (end, expected) {
        (
            WatchErrorKind::Refused { code, reason },
            WatchErrorKind::Refused { code: expected, reason: words },
        ) => code == expected && reason.contains(words),
        _ => end == expected,
    }
}

/// What a watch gave.
struct Story {
    /// None if it never began.
    watcher: Option<Watcher>,
    /// Why it broke.
    causes: Vec<String>,
    end: Option<WatchError>,
    /// What it told to be complete last.
    progress: Revision,
}

impl Story {
    /// Reads all that happens to a key. It has to be told in order, once, and without a gap, up to the end of the watch or of
    /// the history.
    async fn of(key: &'static str, watcher: Result<Watcher, WatchError>) -> Self {
        let mut story = Self { watcher: None, causes: Vec::new(), end: None, progress: Revision::ZERO };
        match watcher {
            Ok(watcher) => story.watcher = Some(watcher),
            Err(error) => story.end = Some(error),
        }
        for revision in (11..=END).filter(|revision| key_at(*revision) == key) {
            while story.end.is_none() && !story.takes(key, revision).await {}
        }
        story
    }

    /// Reads an item: whether it is the event of this revision, and there must be no other.
    async fn takes(&mut self, key: &str, expected: i64) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        match watcher.next().await.expect("nobody ended it") {
            Ok(WatchItem::Events { revision, events }) => {
                assert_eq!((revision.get(), events.len()), (expected, 1));
                assert!(revision > self.progress, "said to be complete");
                let kv = &events[0].kv;
                assert_eq!((&kv.key[..], kv.mod_revision), (key.as_bytes(), revision));
                assert_eq!(kv.value, expected.to_string());
                return true;
            }
            Ok(WatchItem::Progress { revision }) => self.progress = revision,
            Ok(WatchItem::Resumed { from }) => assert!(from <= Revision::new(expected), "{from}"),
            Ok(WatchItem::Disconnected { cause }) => self.causes.push(cause.to_string()),
            Ok(other) => panic!("{other:?}"),
            Err(error) => self.end = Some(error),
        }
        false
    }

    /// Reads what is there without waiting: no event.
    async fn look(&mut self) {
        while let Some(Some(item)) = match &mut self.watcher {
            Some(watcher) => poll_once(watcher.next()).await,
            None => None,
        } {
            match item {
                Ok(WatchItem::Disconnected { cause }) => self.causes.push(cause.to_string()),
                Ok(WatchItem::Resumed { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
