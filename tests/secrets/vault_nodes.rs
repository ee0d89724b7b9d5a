//! Which node of a cluster is asked for what, as scripted nodes see it. `vault_failover` does it on real ones.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentidp_secrets::vault::{VaultKv2, VaultKv2Builder};
use agentidp_secrets::{
    ClientSecret, Clock, CredentialKey, ErrorKind, ManualClock, SecretBackend, StoredSecret, Verdict,
};
use reqwest::Method;
use serde_json::json;

use crate::support::scripted_vault::{Answer, ScriptedVault};

const NOBODY: &str = "http://127.0.0.1:1";

fn over(addresses: &[&str]) -> VaultKv2Builder {
    VaultKv2::builder(addresses.join(","), "s.token")
}

fn key() -> CredentialKey {
    CredentialKey::parse("a", "c").unwrap()
}

fn secret() -> ClientSecret {
    ClientSecret::from("sk_live_s")
}

fn pinned(version: u64) -> StoredSecret {
    let text = format!("{{vault-kv2}}secret/data/agentidp/agents/a/credentials/c?version={version}");
    StoredSecret::parse(&text).unwrap()
}

fn bare() -> StoredSecret {
    StoredSecret::parse("{vault-kv2}secret/data/agentidp/agents/a/credentials/c").unwrap()
}

fn entry() -> Answer {
    entry_of(1)
}

fn entry_of(version: u64) -> Answer {
    let body = json!({ "data": { "data": { "clientSecret": "sk_live_s" }, "metadata": { "version": version } } });
    Answer::new(200, body.to_string())
}

fn written(version: u64) -> Answer {
    Answer::new(200, json!({ "data": { "version": version } }).to_string())
}

fn missing() -> Answer {
    Answer::new(404, json!({ "errors": [] }).to_string())
}

fn leader(active: bool) -> Answer {
    Answer::new(200, json!({ "ha_enabled": true, "is_self": active }).to_string())
}

/// Every way in which a node says that it has done nothing, and that another one may.
fn refusals() -> [Answer; 8] {
    [
        Answer::new(307, "").header("location", NOBODY),
        Answer::new(429, json!({ "errors": [] }).to_string()),
        Answer::new(412, ""),
        Answer::new(472, "{}"),
        Answer::new(473, "{}"),
        Answer::error(500, "local node not active but active cluster node not found"),
        Answer::error(503, "Vault is sealed"),
        Answer::error(400, "Waiting for the primary to upgrade from non-versioned to versioned data"),
    ]
}

async fn matches(vault: &VaultKv2) -> bool {
    vault.verify(&key(), &pinned(1), &secret()).await.unwrap() == Verdict::Match
}

#[tokio::test]
async fn a_node_that_is_not_there_is_passed_over_and_the_one_that_answered_is_kept() {
    let node = ScriptedVault::start([entry(), entry(), written(1)]).await;
    let vault = over(&[NOBODY, node.address()]).build().unwrap();
    assert!(matches(&vault).await && matches(&vault).await);
    vault.store(&key(), &secret()).await.unwrap();

    let lone = over(&[NOBODY, "http://127.0.0.1:2"]).build().unwrap();
    let error = lone.verify(&key(), &pinned(1), &secret()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("http://127.0.0.1:1, http://127.0.0.1:2"), "{error}");
}

#[tokio::test]
async fn what_a_node_turns_away_another_one_does_reads_and_writes() {
    for writing in [false, true] {
        for refusal in refusals() {
            let first = ScriptedVault::start([refusal]).await;
            let answers = if writing { [written(1), written(1)] } else { [entry(), entry()] };
            let second = ScriptedVault::start(answers).await;
            let vault = over(&[first.address(), second.address()]).build().unwrap();
            for _ in 0..2 {
                if writing {
                    vault.store(&key(), &secret()).await.unwrap();
                } else {
                    assert!(matches(&vault).await);
                }
            }
            assert_eq!((first.requests().len(), second.requests().len()), (1, 2), "the second one is kept");
        }
    }
}

#[tokio::test]
async fn an_answer_is_an_answer_whichever_node_gives_it() {
    let final_ones = [
        (Answer::error(403, "permission denied"), ErrorKind::Denied),
        (Answer::error(429, "rate limit quota exceeded"), ErrorKind::Throttled),
        (Answer::new(200, "<html>"), ErrorKind::Unavailable),
    ];
    for (answer, kind) in final_ones {
        let (first, second) = (ScriptedVault::start([answer]).await, ScriptedVault::start([entry()]).await);
        let vault = over(&[first.address(), second.address()]).build().unwrap();
        assert_eq!(vault.verify(&key(), &pinned(1), &secret()).await.unwrap_err().kind(), kind);
        assert!(second.requests().is_empty());
    }
}

#[tokio::test]
async fn a_read_that_hangs_or_breaks_on_one_node_is_asked_of_the_next() {
    for broken in [Answer::hang(), Answer::reset(), entry().cut_after(5), Answer::new(502, "<html>")] {
        let (first, second) = (ScriptedVault::start([broken]).await, ScriptedVault::start([entry(), entry()]).await);
        let vault = over(&[first.address(), second.address()]).build().unwrap();
        assert!(matches(&vault).await && matches(&vault).await);
        assert_eq!(first.requests().len(), 1, "it is not asked first again");
    }
}

#[tokio::test]
async fn a_write_that_was_sent_is_settled_by_reading_and_never_sent_to_another_node() {
    for broken in [Answer::hang(), Answer::reset(), written(1).cut_after(5), Answer::new(502, "<html>")] {
        let (first, second) = (ScriptedVault::start([broken]).await, ScriptedVault::start([entry()]).await);
        let builder = over(&[first.address(), second.address()]).write_timeout(Duration::from_millis(100));
        let stored = builder.build().unwrap().store(&key(), &secret()).await.unwrap();
        assert_eq!(stored, pinned(1));
        let asked: Vec<_> = second.requests().into_iter().map(|request| request.method).collect();
        assert_eq!(asked, [Method::GET]);
    }
}

#[tokio::test]
async fn while_all_wait_for_an_election_they_are_asked_again_within_the_time_of_the_call() {
    let electing = || Answer::error(500, "local node not active but active cluster node not found");
    let first = ScriptedVault::start([electing(), electing(), written(1)]).await;
    let second = ScriptedVault::start([electing(), electing(), written(1)]).await;
    let addresses = [first.address(), second.address()];
    over(&addresses).build().unwrap().store(&key(), &secret()).await.unwrap();
    assert_eq!(first.requests().len() + second.requests().len(), 5);

    let sealed = || Answer::error(503, "Vault is sealed");
    let (first, second) = (ScriptedVault::start([sealed()]).await, ScriptedVault::start([sealed()]).await);
    let vault = over(&[first.address(), second.address()]).build().unwrap();
    let error = vault.store(&key(), &secret()).await.unwrap_err();
    assert!(error.to_string().contains("unseal it"), "nobody elects a sealed node: {error}");
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_missing_version_is_asked_of_the_active_node_before_it_is_given_up() {
    // The first one has said nothing of replication yet, and nothing was written through this process.
    let standby = ScriptedVault::start([missing(), leader(false), leader(false)]).await;
    let active = ScriptedVault::start([leader(true), entry()]).await;
    let vault = over(&[standby.address(), active.address()]).namespace("team").build().unwrap();
    assert!(matches(&vault).await);
    let seen = active.requests();
    assert_eq!(seen[0].target, "/v1/sys/leader");
    assert!(!seen[0].headers.contains_key("x-vault-token") && !seen[0].headers.contains_key("x-vault-namespace"));
    assert!(seen[1].target.ends_with("?version=1"));
}

#[tokio::test]
async fn a_bare_path_is_pinned_by_the_active_node() {
    let standby = ScriptedVault::start([leader(false)]).await;
    let active = ScriptedVault::start([leader(true), entry_of(3)]).await;
    let vault = over(&[standby.address(), active.address()]).build().unwrap();
    assert_eq!(vault.pin(&key(), &bare()).await.unwrap(), pinned(3));
}

/// The first answer may be a standby's, which does not know the latest version. It names the cluster, and from then on
/// whichever node gets the request passes it on to the active one.
#[tokio::test]
async fn behind_one_address_a_bare_path_is_read_again_through_the_active_node() {
    // OpenBao's form: Base64 of {"cluster":"a","value":"9"}.
    let of_standby = entry_of(2).header("x-vault-index", "eyJjbHVzdGVyIjoiYSIsInZhbHVlIjoiOSJ9");
    let balancer = ScriptedVault::start([of_standby, entry_of(3), entry_of(4)]).await;
    let vault = over(&[balancer.address()]).build().unwrap();
    assert_eq!(vault.pin(&key(), &bare()).await.unwrap(), pinned(3));
    let forwarded: Vec<_> =
        balancer.requests().iter().map(|request| request.headers.contains_key("x-vault-inconsistent")).collect();
    assert_eq!(forwarded, [false, true]);
    assert_eq!(vault.inspect(&key(), None).await.unwrap().version(), 4);
    assert_eq!(balancer.requests().len(), 3, "the cluster is known by now");
}

#[tokio::test]
async fn connections_end_at_their_age() {
    let node = ScriptedVault::start((0..4).map(|_| entry())).await;
    let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
    let age = Duration::from_secs(60);
    let vault = over(&[node.address()]).max_connection_age(age).clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let vault = vault.build().unwrap();
    assert!(matches(&vault).await);
    clock.advance(age - Duration::from_millis(1));
    assert!(matches(&vault).await);
    assert_eq!(node.connections(), 1);
    clock.advance(Duration::from_millis(1));
    assert!(matches(&vault).await && matches(&vault).await);
    assert_eq!(node.connections(), 2);
}
