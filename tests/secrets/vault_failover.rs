//! Three OpenBao nodes that replicate: nothing is lost and nothing wrong is accepted, whatever becomes of a node.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentidp_secrets::layers::{BreakerLayer, LimitLayer, RetryLayer, TimeoutLayer};
use agentidp_secrets::vault::VaultKv2;
use agentidp_secrets::vault::auth::{AppRole, VaultAuth};
use agentidp_secrets::{
    ClientSecret, Clock, CredentialKey, Error, ErrorKind, SecretBackend, SharedBackend, StoredSecret, SystemClock,
    Verdict, stack,
};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support;
use crate::support::bao::Mount;
use crate::support::bao::cluster::Cluster;
use crate::support::process::{pause, until};

/// A backend that asks `first` first.
fn over(cluster: &Cluster, first: usize, mount: &Mount) -> VaultKv2 {
    over_with(cluster, first, mount, mount.policy_token.as_str())
}

fn over_with(cluster: &Cluster, first: usize, mount: &Mount, auth: impl Into<VaultAuth>) -> VaultKv2 {
    let mut addresses = cluster.addresses();
    addresses.rotate_left(first);
    VaultKv2::builder(addresses.join(","), auth).mount(mount.name.as_str()).build().unwrap()
}

/// A backend that knows one node only.
fn only(cluster: &Cluster, node: usize, mount: &Mount) -> VaultKv2 {
    let builder = VaultKv2::builder(cluster.node(node).address(), mount.policy_token.as_str());
    builder.mount(mount.name.as_str()).build().unwrap()
}

fn key(number: usize) -> CredentialKey {
    CredentialKey::parse("agent", &format!("c{number}")).unwrap()
}

fn fresh() -> ClientSecret {
    ClientSecret::generate().unwrap()
}

async fn decided(vault: &impl SecretBackend, stored: &StoredSecret, candidate: &ClientSecret) -> Verdict {
    vault.verify(&key(0), stored, candidate).await.unwrap()
}

/// Rotates until it works. What is refused is an outage and nothing else.
async fn rotated(vault: &impl SecretBackend, stored: &StoredSecret, secret: &ClientSecret) -> StoredSecret {
    let done = Mutex::new(None);
    until("a rotation that works", async || match vault.rotate(&key(0), stored, secret).await {
        Ok(record) => {
            *done.lock().unwrap() = Some(record);
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            false
        }
    })
    .await;
    done.into_inner().unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_every_node_knows_the_new_secret_and_none_the_old_one() {
    let cluster = support::cluster().await;
    let mount = cluster.fresh_mount().await;
    // Each of them is a process of its own: it knows nothing of what the others have written.
    let of_one = cluster.numbers().map(|node| only(&cluster, node, &mount));
    let of_all = cluster.numbers().map(|node| over(&cluster, node, &mount));
    let processes: Vec<_> = of_one.chain(of_all).collect();
    let mut old = fresh();
    let mut stored = processes[0].store(&key(0), &old).await.unwrap();
    let (mut refused, mut accepted, mut asked) = (0, 0, 0);
    for round in 0..34 {
        let new = fresh();
        // Through each node in turn, also one that has not heard of the version before.
        stored = processes[round % processes.len()].rotate(&key(0), &stored, &new).await.unwrap();
        let asks = processes.iter().map(async |process| {
            // New processes every time: the others would soon know some state.
            let process = if round % 2 == 0 { process.clone() } else { only(&cluster, round % 3, &mount) };
            let key = key(0);
            tokio::join!(process.verify(&key, &stored, &new), process.verify(&key, &stored, &old))
        });
        for (of_new, of_old) in join_all(asks).await {
            asked += 1;
            refused += usize::from(!matches!(of_new, Ok(Verdict::Match)));
            accepted += usize::from(!matches!(of_old, Ok(Verdict::Mismatch)));
        }
        old = new;
    }
    println!("of {asked} each: {refused} new ones refused, {accepted} old ones not refused");
    assert_eq!((asked >= 200, refused, accepted), (true, 0, 0));
}

/// A standby that has not heard of a path says that it is deleted, and passes nothing on.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_standby_has_not_heard_of_is_forgotten_through_it() {
    let cluster = support::cluster().await;
    let mount = cluster.fresh_mount().await;
    let leader = cluster.leader().await;
    let (writer, standby) = (only(&cluster, leader, &mount), cluster.standby().await);
    // Processes that have heard of no write: one that has asked before, and a new one each time.
    let other = only(&cluster, standby, &mount);
    for number in 0..20 {
        let stored = writer.store(&key(number), &fresh()).await.unwrap();
        let purger = if number % 2 == 0 { other.clone() } else { only(&cluster, standby, &mount) };
        purger.revoke(&key(number), &stored).await.unwrap();
        assert!(!cluster.node(leader).metadata_exists(&path_of(&stored)).await, "{number}");
    }
}

fn path_of(stored: &StoredSecret) -> String {
    stored.payload().split('?').next().unwrap().to_owned()
}

/// As the server wires it.
fn layered(vault: VaultKv2) -> SharedBackend {
    let deadline = TimeoutLayer::new(Duration::from_secs(2)).writes(Duration::from_secs(5));
    stack(vault, &[&LimitLayer::new(32), &RetryLayer::default(), &deadline, &BreakerLayer::default()])
}

/// What a load of verifications and rotations met.
#[derive(Default)]
struct Tally {
    over: AtomicBool,
    rotations: AtomicUsize,
    verifications: AtomicUsize,
    outages: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    fn wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }

    fn outage(&self, error: &Error) {
        // A rotation that was carried out although it failed makes the next one a conflict, as documented.
        let expected = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Conflict);
        self.outages.fetch_add(1, Ordering::Relaxed);
        if !expected {
            self.wrong(format!("{error}"));
        }
    }
}

/// One client: its secret is verified, a wrong one too, and rotated. Gives what it was last told to be in force.
async fn client(number: usize, vault: SharedBackend, tally: Arc<Tally>) -> (usize, StoredSecret, ClientSecret) {
    let mut secret = fresh();
    let mut stored = vault.store(&key(number), &secret).await.unwrap();
    while !tally.over.load(Ordering::Relaxed) {
        for (candidate, expected) in [(secret.clone(), Verdict::Match), (fresh(), Verdict::Mismatch)] {
            match vault.verify(&key(number), &stored, &candidate).await {
                Ok(verdict) => {
                    tally.verifications.fetch_add(1, Ordering::Relaxed);
                    if verdict != expected {
                        tally.wrong(format!("{verdict:?} instead of {expected:?}"));
                    }
                }
                Err(error) => tally.outage(&error),
            }
        }
        let next = fresh();
        // Whoever is refused asks again after a moment, as clients do: a busy loop would slow down the election.
        match vault.rotate(&key(number), &stored, &next).await {
            Ok(record) => {
                tally.rotations.fetch_add(1, Ordering::Relaxed);
                (stored, secret) = (record, next);
            }
            Err(error) => {
                tally.outage(&error);
                pause().await;
            }
        }
    }
    (number, stored, secret)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_dies_under_load_loses_nothing_and_lets_nobody_in() {
    let mut cluster = support::cluster().await;
    let mount = cluster.fresh_mount().await;
    let leader = cluster.leader().await;
    let vault = layered(over(&cluster, leader, &mount));
    let cold = fresh();
    let record = vault.store(&key(0), &cold).await.unwrap();
    let tally = Arc::new(Tally::default());
    let mut clients = JoinSet::new();
    for number in 1..=8 {
        clients.spawn(client(number, Arc::clone(&vault), Arc::clone(&tally)));
    }
    let progress = async |at_least: usize| {
        let from = tally.rotations.load(Ordering::Relaxed);
        until("rotations under load", async || tally.rotations.load(Ordering::Relaxed) >= from + at_least).await;
    };
    progress(20).await;
    let killed = SystemClock::default().instant();
    cluster.kill(leader).await;
    cluster.new_leader(leader).await;
    let elected = SystemClock::default().instant();
    until("a first good read", async || matches!(vault.verify(&key(0), &record, &cold).await, Ok(Verdict::Match)))
        .await;
    let read = SystemClock::default().instant() - elected;
    rotated(&vault, &record, &fresh()).await;
    let written = SystemClock::default().instant() - elected;
    progress(20).await;
    tally.over.store(true, Ordering::Relaxed);
    let known = clients.join_all().await;
    println!(
        "new leader after {:?}; from then to the first good read {read:?}, to the first good write {written:?}; {} \
         verifications, {} rotations, {} outages",
        elected - killed,
        tally.verifications.load(Ordering::Relaxed),
        tally.rotations.load(Ordering::Relaxed),
        tally.outages.load(Ordering::Relaxed),
    );
    cluster.heal().await;
    let fresh_process = over(&cluster, leader, &mount);
    let mut lost = 0;
    for (number, stored, secret) in known {
        let verdict = fresh_process.verify(&key(number), &stored, &secret).await;
        lost += usize::from(!matches!(verdict, Ok(Verdict::Match)));
    }
    let wrong = tally.wrong.lock().unwrap();
    assert!(lost == 0 && wrong.is_empty(), "{lost} lost; wrongly decided: {wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_sealed_is_passed_over() {
    let mut cluster = support::cluster().await;
    let mount = cluster.fresh_mount().await;
    let leader = cluster.leader().await;
    let vault = over(&cluster, leader, &mount);
    let (old, new) = (fresh(), fresh());
    let first = vault.store(&key(0), &old).await.unwrap();
    cluster.seal(leader).await;
    cluster.new_leader(leader).await;
    let second = rotated(&vault, &first, &new).await;
    assert_eq!(decided(&vault, &second, &new).await, Verdict::Match);
    assert_eq!(decided(&vault, &second, &old).await, Verdict::Mismatch);
    let error = only(&cluster, leader, &mount).verify(&key(0), &second, &new).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("unseal it"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hangs_costs_a_read_a_part_of_its_time_and_comes_back_without_old_answers() {
    for leading in [true, false] {
        let mut cluster = support::cluster().await;
        let mount = cluster.fresh_mount().await;
        let leader = cluster.leader().await;
        let hung = if leading { leader } else { cluster.standby().await };
        let vault = over(&cluster, hung, &mount);
        let (old, new) = (fresh(), fresh());
        let first = vault.store(&key(0), &old).await.unwrap();
        until("every node to have the secret", async || {
            let all = cluster.numbers().map(|node| only(&cluster, node, &mount));
            let found = all.map(async |vault| vault.verify(&key(0), &first, &old).await);
            join_all(found).await.into_iter().all(|found| matches!(found, Ok(Verdict::Match)))
        })
        .await;
        cluster.pause(hung).await;
        // One process that wrote nothing, so that a standby need not ask the hung leader: it is served in its first call.
        assert_eq!(decided(&over(&cluster, hung, &mount), &first, &old).await, Verdict::Match);
        if leading {
            cluster.new_leader(hung).await;
        }
        let second = rotated(&vault, &first, &new).await;
        assert_eq!(decided(&vault, &second, &new).await, Verdict::Match);
        cluster.resume(hung);
        let of_hung = only(&cluster, hung, &mount);
        until("the node to serve again", async || match of_hung.verify(&key(0), &second, &new).await {
            Ok(verdict) => {
                assert_eq!(verdict, Verdict::Match);
                true
            }
            Err(error) => {
                // Until it has caught up, what it does not know is missing or cannot be asked; never a mismatch.
                assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::NotFound), "{error}");
                false
            }
        })
        .await;
        assert_eq!(decided(&of_hung, &second, &old).await, Verdict::Mismatch);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_is_denied_on_every_node_and_a_login_replaces_it() {
    let cluster = support::cluster().await;
    let mount = cluster.fresh_mount().await;
    let bao = cluster.node(cluster.leader().await);
    let secret = fresh();
    let stored = over(&cluster, 0, &mount).store(&key(0), &secret).await.unwrap();

    let revoked = bao.create_token(json!({ "policies": [mount.name] })).await;
    let expiring = bao.create_token(json!({ "policies": [mount.name], "ttl": "2s" })).await;
    for (token, revoke) in [(revoked, true), (expiring, false)] {
        let nodes: Vec<_> = cluster.numbers().map(|node| over_with(&cluster, node, &mount, token.as_str())).collect();
        if revoke {
            for vault in &nodes {
                assert_eq!(decided(vault, &stored, &secret).await, Verdict::Match);
            }
            bao.revoke_token(&token).await;
        }
        until("the token to be dead everywhere", async || {
            let asked = nodes.iter().map(async |vault| vault.verify(&key(0), &stored, &secret).await);
            let denied = join_all(asked).await.into_iter().filter(|answer| match answer {
                Ok(verdict) => *verdict != Verdict::Match,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
                    true
                }
            });
            denied.count() == nodes.len()
        })
        .await;
        let replacement = bao.create_token(json!({ "policies": [mount.name] })).await;
        for vault in &nodes {
            vault.replace_token(replacement.as_str()).unwrap();
            assert_eq!(decided(vault, &stored, &secret).await, Verdict::Match);
        }
    }

    let role = bao.app_role(&mount, json!({ "token_ttl": "1h" })).await;
    let own = AppRole::new(role.role_id.as_str(), role.secret_id.as_str()).mount(role.mount.as_str());
    let vault = over_with(&cluster, 1, &mount, VaultAuth::AppRole(own));
    let login = json!({ "role_id": role.role_id, "secret_id": role.secret_id });
    for node in cluster.numbers() {
        let path = format!("auth/{}/login", role.mount);
        let known = async || cluster.node(node).call("", Method::POST, &path, Some(login.clone())).await.0 == 200;
        until("the node to know the role", known).await;
    }
    let before = bao.logins(&role).await;
    assert_eq!(decided(&vault, &stored, &secret).await, Verdict::Match);
    bao.revoke_logins(&role.mount).await;
    assert_eq!(decided(&vault, &stored, &secret).await, Verdict::Match, "no caller notices");
    assert_eq!(bao.logins(&role).await, before + 2);
}
