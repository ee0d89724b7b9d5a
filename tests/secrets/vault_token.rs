//! Keeping the Vault token alive: what is done when, on a clock that stands still until it is moved.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentidp_secrets::vault::VaultKv2;
use agentidp_secrets::vault::auth::{AppRole, RenewalOutcome, TokenCare, VaultAuth};
use agentidp_secrets::{Clock, ErrorKind, ManualClock, SecretBackend};
use serde_json::{Value, json};

use crate::support;
use crate::support::bao::Mount;
use crate::support::process::until;
use crate::support::scripted_vault::{Answer, ScriptedVault};

const MINUTE: Duration = Duration::from_secs(60);

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH))
}

fn at(address: &str, auth: impl Into<VaultAuth>, clock: &Arc<ManualClock>) -> VaultKv2 {
    VaultKv2::builder(address, auth).clock(Arc::clone(clock) as Arc<dyn Clock>).build().unwrap()
}

fn vault(mount: &Mount, auth: impl Into<VaultAuth>, clock: &Arc<ManualClock>) -> VaultKv2 {
    let builder = VaultKv2::builder(support::bao().address(), auth).mount(mount.name.as_str());
    builder.clock(Arc::clone(clock) as Arc<dyn Clock>).build().unwrap()
}

async fn done(vault: &VaultKv2) -> RenewalOutcome {
    vault.tend_token().await.outcome.unwrap()
}

/// The kind of failure, and the pause after it.
fn failed(care: TokenCare) -> (ErrorKind, Duration) {
    (care.outcome.unwrap_err().kind(), care.next)
}

fn renewals(inspected: &Value) -> bool {
    inspected["last_renewal_time"].as_u64().is_some()
}

#[tokio::test]
async fn a_token_is_renewed_before_two_thirds_of_its_life_and_not_before_three_fifths() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    for options in [json!({ "period": "1h" }), json!({ "ttl": "1h" })] {
        let mut options = options;
        options["policies"] = json!([mount.name]);
        let token = bao.create_token(options).await;
        let clock = clock();
        let vault = vault(&mount, token.as_str(), &clock);
        assert_eq!(vault.token_life(), None, "not known yet");
        assert_eq!(done(&vault).await, RenewalOutcome::Inspected);
        let life = vault.token_life().unwrap();
        assert!(life.renewable && life.left > 59 * MINUTE && !life.is_in_danger());

        clock.advance(35 * MINUTE);
        assert_eq!(done(&vault).await, RenewalOutcome::Idle);
        assert!(!renewals(&bao.inspect(&token).await));
        clock.advance(5 * MINUTE);
        assert_eq!(done(&vault).await, RenewalOutcome::Renewed);
        assert!(renewals(&bao.inspect(&token).await));
        assert!(vault.token_life().unwrap().left > 59 * MINUTE);
        assert_eq!(done(&vault).await, RenewalOutcome::Idle);
    }
}

#[tokio::test]
async fn a_token_that_never_ends_is_left_alone() {
    let bao = support::bao();
    let clock = clock();
    let vault = vault(&bao.fresh_mount(2).await, bao.root_token(), &clock);
    assert_eq!(done(&vault).await, RenewalOutcome::Inspected);
    clock.advance(10_000 * MINUTE);
    assert_eq!(done(&vault).await, RenewalOutcome::Idle);
    assert_eq!(vault.token_life(), None);
}

#[tokio::test]
async fn a_token_without_the_default_policy_works_and_says_once_that_it_cannot_be_renewed() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let mute = bao.create_token(json!({ "policies": [mount.name], "no_default_policy": true, "ttl": "1h" })).await;
    let vault = vault(&mount, mute, &clock());
    let error = vault.tend_token().await.outcome.unwrap_err();
    assert!(error.kind() == ErrorKind::Denied && error.to_string().contains("default policy"), "{error}");
    assert_eq!(done(&vault).await, RenewalOutcome::Idle);
    vault.probe().await.unwrap();
}

#[tokio::test]
async fn a_token_without_the_default_policy_is_renewed_by_two_rights_of_its_own() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let look = "path \"auth/token/lookup-self\" { capabilities = [\"read\"] }\n";
    let renew = "path \"auth/token/renew-self\" { capabilities = [\"update\"] }\n";
    for (rights, renewable) in [(look.to_owned() + renew, true), (look.to_owned(), false)] {
        let policy = format!("self-{}", uuid::Uuid::new_v4());
        bao.write_policy(&policy, &rights).await;
        let options = json!({ "policies": [mount.name, policy], "no_default_policy": true, "period": "1h" });
        let token = bao.create_token(options).await;
        let clock = clock();
        let vault = vault(&mount, token.as_str(), &clock);
        assert_eq!(done(&vault).await, RenewalOutcome::Inspected);
        vault.probe().await.unwrap();
        clock.advance(40 * MINUTE);
        let outcome = vault.tend_token().await.outcome;
        assert_eq!(outcome.is_ok_and(|done| done == RenewalOutcome::Renewed), renewable);
        assert_eq!(renewals(&bao.inspect(&token).await), renewable);
    }
}

#[tokio::test]
async fn a_token_that_was_given_and_cannot_be_renewed_gets_into_danger() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let clock = clock();
    let batch = bao.create_token(json!({ "policies": [mount.name], "type": "batch", "ttl": "1h" })).await;
    let vault = vault(&mount, batch, &clock);
    assert_eq!(done(&vault).await, RenewalOutcome::Inspected);
    assert!(!vault.token_life().unwrap().renewable);
    clock.advance(39 * MINUTE);
    assert_eq!(done(&vault).await, RenewalOutcome::Idle);
    assert!(!vault.token_life().unwrap().is_in_danger());
    clock.advance(2 * MINUTE);
    assert_eq!(done(&vault).await, RenewalOutcome::Idle);
    assert!(vault.token_life().unwrap().is_in_danger());
}

#[tokio::test]
async fn a_renewal_that_meets_the_longest_life_is_the_last() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let token = bao.create_token(json!({ "policies": [mount.name], "ttl": "1h", "explicit_max_ttl": "1h" })).await;
    let clock = clock();
    let vault = vault(&mount, token.as_str(), &clock);
    assert_eq!(done(&vault).await, RenewalOutcome::Inspected);
    until("some of its life to be over", async || bao.inspect(&token).await["ttl"].as_u64() < Some(3598)).await;
    clock.advance(40 * MINUTE);
    assert_eq!(done(&vault).await, RenewalOutcome::Renewed);
    assert!(!vault.token_life().unwrap().renewable, "Vault granted less than before");
    clock.advance(41 * MINUTE);
    assert_eq!(done(&vault).await, RenewalOutcome::Idle);
    assert!(vault.token_life().unwrap().is_in_danger());
}

#[tokio::test]
async fn what_cannot_be_renewed_is_replaced_by_a_login_in_time() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let batch = json!({ "token_type": "batch", "token_ttl": "1h" });
    let mute = json!({ "token_no_default_policy": true, "token_ttl": "1h" });
    for options in [batch, mute] {
        let role = bao.app_role(&mount, options).await;
        let clock = clock();
        let own = AppRole::new(role.role_id.as_str(), role.secret_id.as_str()).mount(role.mount.as_str());
        let vault = vault(&mount, VaultAuth::AppRole(own), &clock);
        assert_eq!(done(&vault).await, RenewalOutcome::Replaced);
        clock.advance(35 * MINUTE);
        assert_eq!(done(&vault).await, RenewalOutcome::Idle);
        clock.advance(5 * MINUTE);
        // A living token that no request was made with is no sign that the login does not work.
        vault.probe().await.unwrap();
        assert_eq!(done(&vault).await, RenewalOutcome::Replaced);
        assert_eq!(bao.logins(&role).await, 2);
        assert!(!vault.token_life().unwrap().is_in_danger());
    }
}

#[tokio::test]
async fn a_login_of_a_request_is_told_of_later() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let role = bao.app_role(&mount, json!({ "token_ttl": "1h" })).await;
    let own = AppRole::new(role.role_id.as_str(), role.secret_id.as_str()).mount(role.mount.as_str());
    let vault = vault(&mount, VaultAuth::AppRole(own), &clock());
    vault.probe().await.unwrap();
    assert_eq!(done(&vault).await, RenewalOutcome::Replaced);
    assert_eq!(done(&vault).await, RenewalOutcome::Idle);
    bao.revoke_logins(&role.mount).await;
    vault.probe().await.unwrap();
    assert_eq!(done(&vault).await, RenewalOutcome::Replaced);
}

#[tokio::test]
async fn a_revoked_token_is_denied() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let clock = clock();
    let vault = vault(&mount, mount.policy_token.as_str(), &clock);
    assert_eq!(done(&vault).await, RenewalOutcome::Inspected);
    bao.revoke_token(&mount.policy_token).await;
    clock.advance(768 * 40 * MINUTE);
    let error = vault.tend_token().await.outcome.unwrap_err();
    assert!(error.kind() == ErrorKind::Denied && error.to_string().contains("`VaultAuth::Token`"), "{error}");
}

#[tokio::test]
async fn a_file_that_changes_is_taken_up_and_one_that_vanishes_is_not() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let fresh = async || bao.create_token(json!({ "policies": [mount.name], "ttl": "1h" })).await;
    let clock = clock();
    let vault = vault(&mount, VaultAuth::TokenFile(file.clone()), &clock);
    assert_eq!(failed(vault.tend_token().await).0, ErrorKind::InvalidConfig);
    std::fs::write(&file, fresh().await).unwrap();
    for _ in 0..2 {
        assert_eq!(done(&vault).await, RenewalOutcome::Replaced);
        assert_eq!(done(&vault).await, RenewalOutcome::Idle);
        std::fs::write(&file, fresh().await).unwrap();
    }
    assert_eq!(done(&vault).await, RenewalOutcome::Replaced);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(failed(vault.tend_token().await), (ErrorKind::InvalidConfig, Duration::from_secs(1)));
    vault.probe().await.unwrap();
    clock.advance(40 * MINUTE);
    assert_eq!(done(&vault).await, RenewalOutcome::Renewed, "the token in use lives on");
}

fn inspected(ttl: u64) -> Answer {
    let data = json!({ "ttl": ttl, "creation_ttl": 3600, "expire_time": "t", "renewable": true, "policies": [] });
    Answer::new(200, json!({ "data": data }).to_string())
}

fn renewed(seconds: u64) -> Answer {
    // No two logins give the same token.
    let token = format!("s.{}", uuid::Uuid::new_v4());
    let auth = json!({ "client_token": token, "lease_duration": seconds, "renewable": true });
    Answer::new(200, json!({ "auth": auth }).to_string())
}

#[tokio::test]
async fn a_renewal_that_fails_is_tried_again_with_growing_pauses_and_shows() {
    let outages = (0..8).map(|_| Answer::error(503, "Vault is sealed"));
    let script = [inspected(3600)].into_iter().chain(outages).chain([renewed(3600)]);
    let (server, clock) = (ScriptedVault::start(script).await, clock());
    let vault = at(server.address(), "s.canary", &clock);
    assert_eq!(done(&vault).await, RenewalOutcome::Inspected);
    clock.advance(40 * MINUTE);
    for seconds in [1, 2, 4, 8, 16, 30, 30, 30] {
        let (kind, pause) = failed(vault.tend_token().await);
        assert_eq!((kind, pause), (ErrorKind::Unavailable, Duration::from_secs(seconds)));
        clock.advance(pause);
    }
    assert!(vault.token_life().unwrap().is_in_danger());
    assert_eq!(done(&vault).await, RenewalOutcome::Renewed);
    assert!(!vault.token_life().unwrap().is_in_danger());
    let asked: Vec<_> = server.requests().iter().map(|request| request.target.clone()).collect();
    assert_eq!(asked[0], "/v1/auth/token/lookup-self");
    assert!(asked[1..].iter().all(|target| target == "/v1/auth/token/renew-self"));
}

#[tokio::test]
async fn a_renewal_that_can_never_be_is_not_tried_again() {
    let finals = [
        Answer::error(500, "past the max TTL, cannot renew"),
        Answer::error(400, "lease is not renewable"),
        Answer::error(400, "batch tokens cannot be renewed"),
        Answer::error(403, "1 error occurred:\n\t* permission denied\n\n"),
    ];
    for answer in finals {
        let (server, clock) = (ScriptedVault::start([inspected(3600), answer]).await, clock());
        let vault = at(server.address(), "s.canary", &clock);
        assert_eq!(done(&vault).await, RenewalOutcome::Inspected);
        clock.advance(41 * MINUTE);
        assert_eq!(failed(vault.tend_token().await).0, ErrorKind::Denied);
        assert_eq!(done(&vault).await, RenewalOutcome::Idle);
        assert!(vault.token_life().unwrap().is_in_danger(), "somebody has to act");
        assert_eq!(server.requests().len(), 2);
    }
}

#[tokio::test]
async fn one_past_its_longest_life_is_replaced_where_there_is_a_login() {
    let last = Answer::error(500, "past the max TTL, cannot renew");
    let (server, clock) = (ScriptedVault::start([renewed(3600), last, renewed(3600)]).await, clock());
    let vault = at(server.address(), VaultAuth::AppRole(AppRole::new("r", "s")), &clock);
    assert_eq!(done(&vault).await, RenewalOutcome::Replaced);
    clock.advance(41 * MINUTE);
    assert_eq!(done(&vault).await, RenewalOutcome::Replaced);
    assert!(server.requests()[2].target.ends_with("/login"));
}

#[tokio::test]
async fn a_renewal_that_grants_less_is_the_last_before_a_login() {
    let (server, clock) = (ScriptedVault::start([renewed(3600), renewed(1500), renewed(3600)]).await, clock());
    let vault = at(server.address(), VaultAuth::AppRole(AppRole::new("r", "s")), &clock);
    assert_eq!(done(&vault).await, RenewalOutcome::Replaced);
    clock.advance(41 * MINUTE);
    assert_eq!(done(&vault).await, RenewalOutcome::Renewed);
    clock.advance(6 * MINUTE);
    assert_eq!(done(&vault).await, RenewalOutcome::Replaced, "well before its end");
    assert!(server.requests()[2].target.ends_with("/login"));
}

#[tokio::test]
async fn a_token_found_in_danger_is_renewed_at_once() {
    let (server, clock) = (ScriptedVault::start([inspected(600), renewed(3600)]).await, clock());
    let vault = at(server.address(), "s.canary", &clock);
    let care = vault.tend_token().await;
    assert_eq!(care.outcome.unwrap(), RenewalOutcome::Inspected);
    assert!(vault.token_life().unwrap().is_in_danger() && care.next < Duration::from_secs(1));
    assert_eq!(done(&vault).await, RenewalOutcome::Renewed);
}
