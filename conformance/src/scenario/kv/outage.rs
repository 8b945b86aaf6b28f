//! One server, the only one its client knows, is down for a while or for good.

use std::future::IntoFuture;
use std::net::TcpListener;
use std::time::Duration;

use etcdium_client::{CauseKind, Error, ErrorKind, Get, Outcome, Put};
use futures_lite::future::zip;

use crate::scenario::{
    Context, Failure, Need, Scenario, Setup, Subject, Topology, check, check_eq, describe, failed, join_all,
    only, text,
};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new("KV-014", Topology::ThreeMembers, "a read waits for its member to come back", |ctx| {
        Box::pin(kv_014(ctx))
    })
    .needs(&[Need::Control]),
    Scenario::new("KV-015", Topology::ThreeMembers, "a put that failed does not sneak in later", |ctx| {
        Box::pin(kv_015(ctx))
    })
    .needs(&[Need::Control]),
    Scenario::new("KV-017", Topology::OneMember, "a read without server times out; closing is fine", |ctx| {
        Box::pin(kv_017(ctx))
    })
    .needs(&[Need::Control]),
    Scenario::new("KV-018", Topology::OneMember, "a put without server times out; closing is fine", |ctx| {
        Box::pin(kv_018(ctx))
    })
    .needs(&[Need::Control]),
    Scenario::new(
        "KV-045",
        Topology::OneMember,
        "reads under way when the server stops end well or clearly",
        |ctx| Box::pin(kv_045(ctx)),
    )
    .needs(&[Need::Control]),
    Scenario::new("KV-055", Topology::None, "nobody listens", |ctx| Box::pin(kv_055(ctx))),
];

/// How long a call may wait for its server to come back.
const PATIENCE: Duration = Duration::from_secs(20);
const SECOND: Duration = Duration::from_secs(1);
/// How late a busy machine may notice that a time is over.
const SLACK: Duration = Duration::from_secs(3);

/// A subject that knows one member alone and has a connection to it.
async fn connected(ctx: &Context, index: usize) -> Result<Subject, Failure> {
    let subject = ctx.open(&Setup::new(&ctx.endpoints()[index..=index]).timeout(PATIENCE))?;
    subject.send(Get::new(ctx.key("connected"))).await?;
    Ok(subject)
}

/// Restarts a member once the subject has tried in vain to connect to it.
async fn restart_when_missed(ctx: &Context, subject: &Subject, index: usize) -> Result<(), Failure> {
    let before = subject.stats().connects;
    ctx.eventually(PATIENCE, "the client has tried to connect", || async {
        Ok((subject.stats().connects > before).then_some(()))
    })
    .await?;
    ctx.restart(index).await
}

async fn kv_014(ctx: Context) -> Result<(), Failure> {
    let follower = (ctx.leader().await? + 1) % 3;
    let subject = connected(&ctx, follower).await?;
    let key = ctx.key("foo");
    let put = subject.send(Put::new(&key, "bar")).await?;
    ctx.terminate(follower).await?;

    let get = subject.send(Get::new(&key));
    let (got, restarted) = zip(get.into_future(), restart_when_missed(&ctx, &subject, follower)).await;
    restarted?;
    let kv = only(got?)?;
    check_eq!(text(&kv.value), "bar");
    check_eq!(
        (kv.create_revision, kv.mod_revision, kv.version),
        (put.header.revision, put.header.revision, 1)
    );
    Ok(())
}

async fn kv_015(ctx: Context) -> Result<(), Failure> {
    let subject = connected(&ctx, 0).await?;
    let key = ctx.key("foo");
    ctx.kill(0).await?;

    let begin = ctx.now();
    let error = failed(subject.send(Put::new(&key, "bar")).timeout(SECOND).await)?;
    let took = ctx.now() - begin;
    check!(took < SECOND + SLACK, "the put was tried past its time-out: {took:?}");
    check!(is_outage(&error), "not the server's absence: {}", describe(&error));

    let get = subject.send(Get::new(&key));
    let (got, restarted) = zip(get.into_future(), restart_when_missed(&ctx, &subject, 0)).await;
    restarted?;
    check_eq!(got?.kvs, [], "the failed put sneaked in");
    // Not with what is sent next on the new connection either.
    subject.send(Put::new(ctx.key("other"), "bar")).await?;
    for endpoint in ctx.endpoints() {
        let got = ctx.send(Get::new(&key)).endpoint(endpoint).await?;
        check_eq!(got.kvs, [], "the failed put sneaked in, seen at {endpoint}");
    }
    Ok(())
}

async fn kv_017(ctx: Context) -> Result<(), Failure> {
    let subject = connected(&ctx, 0).await?;
    ctx.kill(0).await?;
    read_in_vain(&ctx, &subject).await?;
    close(&ctx, &subject).await
}

/// A read with a second's time fails after about that time, and says what is wrong with the server.
async fn read_in_vain(ctx: &Context, subject: &Subject) -> Result<(), Failure> {
    let begin = ctx.now();
    let error = failed(subject.send(Get::new(ctx.key("abc"))).timeout(SECOND).await)?;
    let took = ctx.now() - begin;
    check!(error.is_timeout(), "not a time-out: {}", describe(&error));
    check!(took >= SECOND && took < SECOND + SLACK, "timed out after {took:?} instead of {SECOND:?}");
    check_eq!(error.causes().len(), 1, "causes of {error}");
    check_eq!(error.outcome(), Outcome::NotApplied);
    Ok(())
}

/// Closing ends a call that waits, and every later one, at once.
async fn close(ctx: &Context, subject: &Subject) -> Result<(), Failure> {
    let waiting = subject.send(Get::new(ctx.key("abc"))).into_future();
    let closing = async { subject.close() };
    let (waiting, ()) = ctx.within(SLACK, zip(waiting, closing)).await?;
    check_eq!(failed(waiting)?.kind(), &ErrorKind::Closed);
    let later = ctx.within(SLACK, subject.send(Get::new(ctx.key("abc"))).into_future()).await?;
    check_eq!(failed(later)?.kind(), &ErrorKind::Closed);
    subject.close();
    Ok(())
}

async fn kv_018(ctx: Context) -> Result<(), Failure> {
    let subject = connected(&ctx, 0).await?;
    ctx.kill(0).await?;
    read_in_vain(&ctx, &subject).await?;
    // By now the client knows that nobody listens, so the put was never sent.
    let key = ctx.key("abc");
    let error = failed(subject.send(Put::new(&key, "123")).timeout(SECOND).await)?;
    check!(is_outage(&error), "not the server's absence: {}", describe(&error));
    check_eq!(error.outcome(), Outcome::NotApplied, "outcome of {error}");
    close(&ctx, &subject).await?;

    ctx.restart(0).await?;
    check_eq!(ctx.send(Get::new(&key)).await?.count, 0, "the failed put was applied");
    Ok(())
}

/// Where etcd's client gives up such a read with the broken connection, this one waits for the server until its
/// deadline: the error is a time-out that names the trouble.
async fn kv_045(ctx: Context) -> Result<(), Failure> {
    let subject = connected(&ctx, 0).await?;
    let read_until_it_fails = || async {
        loop {
            let read = subject.send(Get::new(ctx.key("foo")).serializable()).timeout(2 * SECOND);
            if let Err(error) = read.await {
                return error;
            }
        }
    };
    let stop = ctx.terminate(0);
    let readers = join_all((0..10).map(|_| read_until_it_fails()));
    let (errors, stopped) = ctx.within(PATIENCE, zip(readers, stop)).await?;
    stopped?;
    for error in errors {
        check!(is_outage(&error), "not the server's absence: {}", describe(&error));
        check_eq!(error.outcome(), Outcome::NotApplied, "outcome of a read");
    }
    Ok(())
}

/// The bound is a time here, not a number of attempts.
async fn kv_055(ctx: Context) -> Result<(), Failure> {
    // A port that was free a moment ago; nothing else of this process asks for one now.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = port.map_err(|error| Failure::new(error.to_string()))?.to_string();
    let time = Duration::from_millis(1250);
    let subject = ctx.open(&Setup::new([&address]).timeout(time))?;
    let begin = ctx.now();
    let error = failed(subject.send(Put::new(ctx.key("foo"), "bar")).await)?;
    let took = ctx.now() - begin;
    check!(took >= time && took < time + SLACK, "gave up after {took:?} instead of {time:?}");
    check!(is_outage(&error) && error.is_retryable(), "not the server's absence: {}", describe(&error));
    check_eq!(error.outcome(), Outcome::NotApplied);
    let causes: Vec<_> =
        error.causes().iter().map(|cause| (cause.endpoint.as_str(), cause.cause.kind())).collect();
    check_eq!(causes, [(address.as_str(), &CauseKind::Connect(std::io::ErrorKind::ConnectionRefused))]);
    check!(subject.stats().connects > 1, "it was tried only once");
    Ok(())
}

/// What the user gets of a server that is not there: the deadline passed or the connection broke.
fn is_outage(error: &Error) -> bool {
    error.is_timeout() || matches!(error.kind(), ErrorKind::Unavailable)
}
