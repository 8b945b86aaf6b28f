//! Limits of sizes and of space.

use std::time::Duration;

use etcdium_client::proto::etcdserverpb::StatusRequest;
use etcdium_client::{Error, ErrorKind, EtcdError, Get, Outcome, Put, PutResponse, Txn};

use crate::etcd::ClusterConfig;
use crate::scenario::{
    Context, Failure, Need, Scenario, Setup, Topology, check, check_eq, failed, only, refused,
};

pub(super) const CASES: &[Scenario] = &[
    Scenario::new(
        "KV-001",
        Topology::Own(small_quota),
        "empty keys, too large requests, no space left",
        |ctx| Box::pin(kv_001(ctx)),
    ),
    Scenario::new("KV-020", Topology::OneMember, "limits of message sizes on both sides", |ctx| {
        Box::pin(kv_020(ctx))
    })
    .needs(&[Need::Control, Need::Flags]),
    Scenario::new(
        "KV-047",
        Topology::Own(ClusterConfig::three),
        "a member with a small quota says no",
        |ctx| Box::pin(kv_047(ctx)),
    )
    .needs(&[Need::Control]),
];

const MIB: usize = 1024 * 1024;
/// What etcd allows by default.
const MAX_REQUEST: usize = MIB + MIB / 2;

/// Room for one request of the largest size and for what etcd itself needs, not for two.
fn small_quota() -> ClusterConfig {
    ClusterConfig::single().flag("quota-backend-bytes", MAX_REQUEST + MAX_REQUEST / 5 + 8 * 4096)
}

fn value(size: usize) -> Vec<u8> {
    vec![b'a'; size]
}

async fn kv_001(ctx: Context) -> Result<(), Failure> {
    refused(ctx.send(Put::new("", "bar")).await, EtcdError::EmptyKey)?;
    let large = ctx.send(Put::new("key", value(MAX_REQUEST + 100))).await;
    let error = refused(large, EtcdError::RequestTooLarge)?;
    check_eq!(error.outcome(), Outcome::NotApplied);

    let fits = MAX_REQUEST - 50;
    ctx.send(Put::new("foo1", value(fits))).await?;
    // The space is taken when the server writes its database, a little later.
    ctx.eventually(Duration::from_secs(10), "the database has grown", || async {
        let size = ctx.call(StatusRequest::default()).await?.db_size;
        Ok(usize::try_from(size).is_ok_and(|size| size > fits).then_some(()))
    })
    .await?;
    let error = refused(ctx.send(Put::new("foo2", value(fits))).await, EtcdError::NoSpace)?;
    // The same answer is given to a put that is applied and crosses the limit by that.
    check_eq!(error.outcome(), Outcome::Unknown);
    check_eq!(ctx.send(Get::new("foo2")).await?.count, 0, "the refused put left something");
    Ok(())
}

/// How a put ends.
#[derive(Clone, Copy)]
enum End {
    Good,
    RefusedByServer,
    RefusedByClient,
}

async fn kv_020(ctx: Context) -> Result<(), Failure> {
    use End::{Good, RefusedByClient, RefusedByServer};
    // The limit of the server, then puts: the client's limit, the size of the value, the end.
    let small: &[(usize, usize, End)] = &[(2 * MIB, 1024, RefusedByServer)];
    let middle: &[(usize, usize, End)] = &[(7 * MIB, 5 * MIB, Good)];
    let large: &[(usize, usize, End)] = &[
        (100 * MIB, 10 * MIB, RefusedByServer),
        (10 * MIB, 10 * MIB, RefusedByClient),
        (100 * MIB, 10 * MIB + 5, RefusedByServer),
        (10 * MIB, 10 * MIB + 5, RefusedByClient),
    ];
    for (server_limit, puts) in [(256, small), (7 * MIB + MIB / 2, middle), (10 * MIB, large)] {
        restart_with(&ctx, Some(server_limit)).await?;
        for &(client_limit, size, end) in puts {
            let subject = ctx.open(&Setup::new(ctx.endpoints()).max_request_size(client_limit))?;
            let key = ctx.key(&format!("{size}"));
            let put = subject.send(Put::new(&key, value(size))).await;
            let what = format!("server {server_limit}, client {client_limit}, value {size}");
            judge(put, end, client_limit).map_err(|failure| failure.and(&format!(" ({what})")))?;
            let got = subject.send(Get::new(&key)).await?;
            if let Good = end {
                check_eq!(only(got)?.value.len(), size, "read back with {what}");
            } else {
                check_eq!(got.count, 0, "a refused put left something with {what}");
            }
        }
    }
    // For those who use the server next.
    restart_with(&ctx, None).await
}

/// Starts the one member again, with this limit or with its own settings.
async fn restart_with(ctx: &Context, max_request: Option<usize>) -> Result<(), Failure> {
    let limit = max_request.map(|bytes| bytes.to_string());
    ctx.member(0, move |member| {
        match &limit {
            Some(bytes) => member.restart_with(&[("max-request-bytes", bytes)])?,
            None => member.restart()?,
        }
        member.wait_ready(Duration::from_secs(30))
    })
    .await
}

fn judge(put: Result<PutResponse, Error>, end: End, client_limit: usize) -> Result<(), Failure> {
    match end {
        End::Good => {
            put?;
        }
        End::RefusedByServer => {
            refused(put, EtcdError::RequestTooLarge)?;
        }
        End::RefusedByClient => {
            let error = failed(put)?;
            let limit = match error.kind() {
                ErrorKind::RequestTooLarge { limit, .. } => usize::try_from(*limit).ok(),
                _ => None,
            };
            check_eq!(limit, Some(client_limit), "limit of {error}");
            check!(error.to_string().contains("trying to send a message of"), "not clear: {error}");
            check_eq!(error.outcome(), Outcome::NotApplied);
        }
    }
    Ok(())
}

async fn kv_047(ctx: Context) -> Result<(), Failure> {
    let quota = 16 * 4096;
    ctx.member(0, move |member| {
        member.restart_with(&[("quota-backend-bytes", &quota.to_string())])?;
        member.wait_ready(Duration::from_secs(30))
    })
    .await?;
    let member = ctx.open(&Setup::new(&ctx.endpoints()[..1]))?;
    member.send(Put::new("abc", value(512))).await?;
    refused(member.send(Put::new("abc", value(quota))).await, EtcdError::NoSpace)?;
    let txn = Txn::new().and_then([Put::new("abc", value(quota))]);
    refused(member.send(txn).await, EtcdError::NoSpace)?;
    check_eq!(only(member.send(Get::new("abc")).await?)?.value.len(), 512);
    Ok(())
}
