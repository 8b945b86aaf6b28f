//! Members die, connections break, packets vanish: what the client says of each call is true, and when the faults stop
//! everything works again.

use std::collections::BTreeSet;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use etcdium_client::{Client, Outcome};
use etcdium_sim::http::Host;
use etcdium_sim::rng::Rng;
use etcdium_sim::runtime::{Fault, Profile, Sim, SimRuntime};

use crate::world::{LIMIT, World, all, seeds};

#[test]
fn calls_move_to_members_that_live() {
    seeds(40, |seed| {
        let world = World::new(seed, 3, Profile::draw(seed));
        let client = world.builder().timeout(Duration::from_secs(60)).build().unwrap();
        let host = world.host.clone();
        world.run(&client, move |client, runtime| async move {
            for round in 0..6 {
                client.put("key", format!("{round}")).await.unwrap();
                let victim = round % 3;
                host.kill(victim);
                // A new leader may have to be found; reads are repeated until they are answered.
                let read = client.get("key").await.unwrap();
                assert_eq!(read.kvs[0].value, format!("{round}"));
                host.start(victim);
                runtime.sleep(Duration::from_secs(5)).await;
            }
        });
    });
}

#[test]
fn a_single_member_comes_back() {
    seeds(40, |seed| {
        let world = World::new(seed, 1, Profile::draw(seed));
        let client = world.builder().timeout(Duration::from_secs(60)).build().unwrap();
        let host = world.host.clone();
        world.run(&client, move |client, runtime| async move {
            client.put("key", "before").await.unwrap();
            host.kill(0);
            let back = async {
                runtime.sleep(Duration::from_secs(2)).await;
                host.start(0);
            };
            let (read, ()) = futures_lite::future::zip(client.get("key").into_future(), back).await;
            assert_eq!(read.unwrap().kvs[0].value, "before");
        });
        assert_eq!(client.stats().connections_lost, 1);
    });
}

/// One key with one writer: what may be in it, by what the client said of each put.
struct Register {
    key: String,
    may_hold: BTreeSet<String>,
    acknowledged: i64,
    unknown: i64,
}

impl Register {
    async fn put(&mut self, client: &Client, value: String) {
        match client.put(self.key.as_str(), value.clone()).await {
            Ok(_) => {
                self.acknowledged += 1;
                self.may_hold = BTreeSet::from([value]);
            }
            Err(error) if error.outcome() == Outcome::Unknown => {
                self.unknown += 1;
                self.may_hold.insert(value);
            }
            Err(_) => {}
        }
    }

    /// Whether the read succeeded; it is checked then.
    async fn check(&self, client: &Client) -> bool {
        let Ok(read) = client.get(self.key.as_str()).await else { return false };
        let (value, version) = match read.kvs.first() {
            Some(kv) => (String::from_utf8(kv.value.to_vec()).unwrap(), kv.version),
            None => (String::new(), 0),
        };
        assert!(self.may_hold.contains(&value), "{value:?} is none of {:?}", self.may_hold);
        let most = self.acknowledged + self.unknown;
        assert!(
            (self.acknowledged..=most).contains(&version),
            "{version} puts, {} to {most} made",
            self.acknowledged
        );
        // A put of unknown outcome may still be under way, so the others stay possible.
        true
    }
}

/// Breaks things for a while, then mends all.
async fn gremlin(sim: Arc<Sim>, host: Host, runtime: SimRuntime, seed: u64) {
    let mut rng = Rng::new(seed);
    for _ in 0..25 {
        runtime.sleep(Duration::from_millis(rng.below(400))).await;
        let member = rng.below(3) as usize;
        match rng.below(9) {
            0 if host.is_up(member) => host.kill(member),
            1 | 2 if !host.is_up(member) => host.start(member),
            3 | 4 => sim.cut(member),
            5 => sim.set_fault(member, Fault::Refuse),
            6 => sim.set_fault(member, Fault::Blackhole),
            7 => sim.set_fault(member, Fault::None),
            _ => host.cut(member),
        }
    }
    for member in 0..3 {
        if !host.is_up(member) {
            host.start(member);
        }
        sim.set_fault(member, Fault::None);
    }
}

fn under_faults(seed: u64) -> u64 {
    let world = World::new(seed, 3, Profile::draw(seed));
    let client = world.builder().timeout(Duration::from_secs(4)).build().unwrap();
    let World { sim, host, .. } = world;
    let sim = Arc::new(sim);
    let runtime = sim.runtime();
    let (user, breaker) = (client.clone(), gremlin(sim.clone(), host, runtime.clone(), seed));
    let body = async move {
        let registers = (0..6).map(|n| {
            let client = user.clone();
            async move {
                let may_hold = BTreeSet::from([String::new()]);
                let mut register = Register { key: format!("r{n}"), may_hold, acknowledged: 0, unknown: 0 };
                for round in 0..20 {
                    register.put(&client, format!("{round}")).await;
                    register.check(&client).await;
                }
                register
            }
        });
        let (registers, ()) = futures_lite::future::zip(all(&runtime, registers.collect()), breaker).await;
        // All is well again: within half a minute calls succeed, and what was written is there.
        runtime.sleep(Duration::from_secs(30)).await;
        for mut register in registers {
            assert!(register.check(&user).await, "no answer though nothing is wrong");
            register.put(&user, "end".to_owned()).await;
            assert_eq!(
                register.may_hold,
                BTreeSet::from(["end".to_owned()]),
                "no answer though nothing is wrong"
            );
            assert!(register.check(&user).await);
        }
    };
    sim.block_on(LIMIT, body).unwrap_or_else(|hang| panic!("{hang}; {:?}", client.stats()));
    sim.transcript()
}

#[test]
fn what_is_said_of_calls_is_true() {
    seeds(200, |seed| {
        under_faults(seed);
    });
}

#[test]
fn faults_too_are_repeatable() {
    seeds(10, |seed| assert_eq!(under_faults(seed), under_faults(seed)));
}
