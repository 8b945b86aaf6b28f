//! What the body of a case gets: its subject, its servers, its keys, and help with time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcdium_client::proto::UnaryRequest;
use etcdium_client::proto::etcdserverpb::MoveLeaderRequest;
use etcdium_client::{Client, Delete, GetResponse, Key, Revision};

use super::simulated::{self, Machine};
use super::subject::{Call, Sending};
use super::{Failure, Front, Request, Runtime, Setup, Subject, Watch, pause};
use crate::etcd::{Cluster, GrpcProxy, Member};
use crate::proxy::Proxy;

/// How often [`Context::eventually`] looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The surroundings of one run of a case. Clones are the same.
#[derive(Clone, Debug)]
pub struct Context {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    runtime: Runtime,
    subject: Subject,
    endpoints: Vec<String>,
    direct: Vec<String>,
    servers: Servers,
    front: Front,
    prefix: String,
}

/// What a run of a case is given.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) servers: Servers,
    /// Where the case reaches them.
    pub(crate) endpoints: Vec<String>,
    /// Where they really are.
    pub(crate) direct: Vec<String>,
    /// What stands between.
    pub(crate) front: Front,
    /// What the case's keys begin with.
    pub(crate) prefix: String,
}

/// Who serves a case.
#[derive(Clone, Debug)]
pub(crate) enum Servers {
    /// Nobody whom the case may control.
    Foreign,
    /// Real servers.
    Real(Arc<Cluster>),
    /// The model, on the machine that runs.
    Simulated(Machine),
}

impl Context {
    /// Surroundings with a subject for all endpoints. Called on the runtime.
    pub(crate) fn new(runtime: Runtime, surroundings: Surroundings) -> Result<Self, Failure> {
        let Surroundings { servers, endpoints, direct, front, prefix } = surroundings;
        // A case without servers makes its own subjects; this one is never used.
        let known = if endpoints.is_empty() { vec!["127.0.0.1:1".to_owned()] } else { endpoints.clone() };
        let subject = runtime.open(&Setup::new(known))?;
        let inner = Inner { runtime, subject, endpoints, direct, servers, front, prefix };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The case's own key of this name: its prefix and the name.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.inner.prefix)
    }

    /// The names of the keys of an answer, in its order: what follows the case's prefix.
    pub fn names(&self, response: &GetResponse) -> Vec<String> {
        response.kvs.iter().map(|kv| self.name(&kv.key)).collect()
    }

    /// The name of a key: what follows the case's prefix.
    pub fn name(&self, key: &[u8]) -> String {
        let key = String::from_utf8_lossy(key);
        key.strip_prefix(&self.inner.prefix).unwrap_or(&key).to_owned()
    }

    /// The URLs of the servers, or of what the case has before them.
    pub fn endpoints(&self) -> &[String] {
        &self.inner.endpoints
    }

    /// The URLs of the servers themselves, around all proxies.
    pub fn direct_endpoints(&self) -> &[String] {
        &self.inner.direct
    }

    /// The proxy before one server, which is the case's alone.
    ///
    /// # Errors
    /// There is none: the case is not marked to need it.
    pub fn proxy(&self, index: usize) -> Result<&Proxy, Failure> {
        let proxy = self.inner.front.proxies.get(index);
        proxy.ok_or_else(|| Failure::new("the case wants a proxy, but is not marked so"))
    }

    /// All its proxies, in the order of the servers. None if the case is not marked to need them.
    pub fn proxies(&self) -> &[Proxy] {
        &self.inner.front.proxies
    }

    /// etcd's own proxy before the servers.
    ///
    /// # Errors
    /// There is none: the case is not marked to need it.
    pub fn grpc_proxy(&self) -> Result<&GrpcProxy, Failure> {
        let proxy = self.inner.front.grpc_proxy.as_ref();
        proxy.ok_or_else(|| Failure::new("the case wants a grpc-proxy, but is not marked so"))
    }

    /// Kills etcd's own proxy, which [`restart_grpc_proxy`](Self::restart_grpc_proxy) brings back.
    ///
    /// # Errors
    /// That of [`Context::grpc_proxy`].
    pub async fn kill_grpc_proxy(&self) -> Result<(), Failure> {
        self.grpc_proxy()?;
        let this = self.clone();
        pause::blocking(move || this.grpc_proxy().map(GrpcProxy::kill)).await
    }

    /// Starts etcd's own proxy again and waits until it serves.
    ///
    /// # Errors
    /// That of [`Context::grpc_proxy`], or it cannot be started.
    pub async fn restart_grpc_proxy(&self) -> Result<(), Failure> {
        let this = self.clone();
        pause::blocking(move || Ok(this.grpc_proxy()?.restart()?)).await
    }

    /// The case's subject, which knows all endpoints.
    pub fn subject(&self) -> &Subject {
        &self.inner.subject
    }

    /// The typed client of the case's subject.
    ///
    /// # Errors
    /// See [`Subject::client`].
    pub fn client(&self) -> Result<&Client, Failure> {
        self.inner.subject.client()
    }

    /// Another subject on the same runtime.
    ///
    /// # Errors
    /// The settings are refused.
    pub fn open(&self, setup: &Setup) -> Result<Subject, Failure> {
        Ok(self.inner.runtime.open(setup)?)
    }

    /// Sends a detached request builder by the case's subject.
    pub fn send<Q: Request>(&self, request: Q) -> Sending<'_, Q> {
        self.inner.subject.send(request)
    }

    /// Sends a message by the case's subject.
    pub fn call<R: UnaryRequest>(&self, request: R) -> Call<'_, R> {
        self.inner.subject.call(request)
    }

    /// Watches by the case's subject.
    pub fn watch(&self, key: impl Into<Key>) -> Watch {
        self.inner.subject.watch(key)
    }

    /// Deletes every key of the store, and gives the revision that left. For cases that have the store to themselves.
    ///
    /// # Errors
    /// The call fails.
    pub async fn wipe(&self) -> Result<Revision, Failure> {
        Ok(self.send(Delete::new("").from_key()).await?.header.revision)
    }

    /// Whether this runs on a simulated machine.
    pub fn is_simulated(&self) -> bool {
        matches!(self.inner.servers, Servers::Simulated(_))
    }

    /// The servers, for cases that control them.
    ///
    /// # Errors
    /// They are not ours to control: the case must be marked so that it does not run there.
    pub fn cluster(&self) -> Result<&Arc<Cluster>, Failure> {
        match &self.inner.servers {
            Servers::Real(cluster) => Ok(cluster),
            Servers::Simulated(_) => Err(Failure::new("the case wants real servers, but is not marked so")),
            Servers::Foreign => Err(Failure::new("the case controls servers, but is not marked so")),
        }
    }

    /// Does something blocking with the servers on a thread of its own.
    ///
    /// # Errors
    /// The error of the work, or that of [`Context::cluster`].
    pub async fn control<T, E>(
        &self,
        work: impl FnOnce(&Cluster) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        E: Into<Failure> + Send + 'static,
    {
        let cluster = Arc::clone(self.cluster()?);
        pause::blocking(move || work(&cluster)).await.map_err(Into::into)
    }

    /// Does something blocking with one member on a thread of its own.
    ///
    /// # Errors
    /// The error of the work, or that of [`Context::cluster`].
    pub async fn member<T, E>(
        &self,
        index: usize,
        work: impl FnOnce(&Member) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        E: Into<Failure> + Send + 'static,
    {
        self.control(move |cluster| work(&cluster.members()[index])).await
    }

    /// Kills one member.
    ///
    /// # Errors
    /// That of [`Context::cluster`].
    pub async fn kill(&self, index: usize) -> Result<(), Failure> {
        if let Servers::Simulated(machine) = &self.inner.servers {
            machine.kill(index);
            return Ok(());
        }
        self.member(index, |member| {
            member.kill();
            Ok::<(), Failure>(())
        })
        .await
    }

    /// Ends one member in good order: a leader hands over first. To a simulated client this is no different from a kill.
    ///
    /// # Errors
    /// That of [`Context::cluster`], or it does not end.
    pub async fn terminate(&self, index: usize) -> Result<(), Failure> {
        if matches!(self.inner.servers, Servers::Simulated(_)) {
            return self.kill(index).await;
        }
        self.member(index, Member::terminate).await
    }

    /// Stops one member's process, which keeps its connections and answers nothing until [`thaw`](Self::thaw).
    ///
    /// # Errors
    /// That of [`Context::cluster`], or it does not run.
    pub async fn freeze(&self, index: usize) -> Result<(), Failure> {
        self.member(index, Member::pause).await
    }

    /// Lets one member's process go on.
    ///
    /// # Errors
    /// That of [`Context::cluster`], or it does not run.
    pub async fn thaw(&self, index: usize) -> Result<(), Failure> {
        self.member(index, Member::resume).await
    }

    /// One member's metric; see [`Member::metric`].
    ///
    /// # Errors
    /// That of [`Context::cluster`], or it does not answer.
    pub async fn metric(
        &self,
        index: usize,
        name: &'static str,
        labels: &'static [(&'static str, &'static str)],
    ) -> Result<Option<f64>, Failure> {
        self.member(index, move |member| member.metric(name, labels)).await
    }

    /// Waits until a member leads, at most 20 s, and says which.
    ///
    /// # Errors
    /// None does, or that of [`Context::cluster`].
    pub async fn leader(&self) -> Result<usize, Failure> {
        const LONG: Duration = Duration::from_secs(20);
        if let Servers::Simulated(machine) = &self.inner.servers {
            return self.eventually(LONG, "a member leads", || async { Ok(machine.leader()) }).await;
        }
        self.control(|cluster| {
            let leader = cluster.wait_leader(LONG)?.name().to_owned();
            let index = cluster.members().iter().position(|member| member.name() == leader);
            index.ok_or_else(|| Failure::new("a stranger leads"))
        })
        .await
    }

    /// Has the leader hand over to another member, and waits until that one says that it leads, at most 20 s.
    ///
    /// # Errors
    /// It does not, the leader refuses, or that of [`Context::cluster`].
    pub async fn move_leader(&self, from: usize, to: usize) -> Result<(), Failure> {
        let target_id = self.member(to, Member::member_id).await?;
        self.call(MoveLeaderRequest { target_id }).endpoint(&self.inner.direct[from]).await?;
        self.eventually(Duration::from_secs(20), "the other member leads", || async {
            let leads = self.member(to, |member| Ok::<_, Failure>(member.is_leader())).await?;
            Ok(leads.then_some(()))
        })
        .await
    }

    /// Waits until a failpoint of one member was reached, at most 20 s.
    ///
    /// # Errors
    /// It was not, it is not set, or that of [`Context::cluster`].
    pub async fn reached(&self, index: usize, point: &'static str) -> Result<(), Failure> {
        self.eventually(Duration::from_secs(20), &format!("{point} is reached"), || async {
            let count = self.member(index, move |member| member.failpoint_count(point)).await?;
            Ok((count > 0).then_some(()))
        })
        .await
    }

    /// Starts one member again and waits until it serves.
    ///
    /// # Errors
    /// It cannot be started or is not healthy in 30 s.
    pub async fn restart(&self, index: usize) -> Result<(), Failure> {
        if let Servers::Simulated(machine) = &self.inner.servers {
            machine.start(index);
            return self.leader().await.map(drop);
        }
        self.member(index, |member| {
            member.restart()?;
            member.wait_ready(Duration::from_secs(30))
        })
        .await
    }

    /// The time: virtual on a simulated machine.
    pub fn now(&self) -> Instant {
        simulated::now()
    }

    /// Lets a moment pass, to limit a rate.
    pub async fn pause(&self, time: Duration) {
        pause::pause(time).await;
    }

    /// Demands that `future` ends in time.
    ///
    /// # Errors
    /// It does not.
    #[track_caller]
    pub fn within<T>(
        &self,
        time: Duration,
        future: impl Future<Output = T>,
    ) -> impl Future<Output = Result<T, Failure>> {
        // At the caller's place.
        let late = Failure::new(format!("took longer than {time:?}"));
        async move { pause::within(time, future).await.ok_or(late) }
    }

    /// Asks again and again until `look` answers, and demands that it does in time.
    ///
    /// # Errors
    /// It does not, or `look` fails.
    pub async fn eventually<T, F>(
        &self,
        time: Duration,
        what: &str,
        mut look: impl FnMut() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<Option<T>, Failure>>,
    {
        let begin = self.now();
        loop {
            if let Some(answer) = look().await? {
                return Ok(answer);
            }
            if self.now() - begin >= time {
                return Err(Failure::new(format!("not within {time:?}: {what}")));
            }
            pause::pause(LOOK_AGAIN).await;
        }
    }
}
