//! Ends of credentials.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::testkit::Fault;
use agentidp_secrets::{ErrorKind, Operation};
use agentidp_server::domain::CredentialStatus;
use reqwest::Method;
use serde_json::json;

use super::Vaulted;
use crate::requests::grant_form;
use crate::site::Site;
use crate::support;

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_makes_vault_forget() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, secret) = vaulted.site.credential(agent).await;
    assert_eq!(vaulted.site.rotate(agent, credential).await.status, 200);
    assert_eq!(vaulted.site.revoke(agent, credential).await.status, 204);
    assert!(!vaulted.in_vault(agent, credential).await, "before the answer");
    assert!(!vaulted.site.accepts(agent, &secret).await);
    assert_eq!(vaulted.pending().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_while_vault_is_down_is_work_for_later() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, secret) = vaulted.site.credential(agent).await;
    vaulted.faults.always(Operation::Revoke, Fault::Fail(ErrorKind::Unavailable));
    assert_eq!(vaulted.site.revoke(agent, credential).await.status, 204);
    assert!(!vaulted.site.accepts(agent, &secret).await, "it takes effect at once");
    assert!(vaulted.in_vault(agent, credential).await);
    vaulted.purge_after(Duration::from_secs(5)).await;
    assert_eq!(vaulted.pending().await, 1, "still down");
    vaulted.faults.heal();
    vaulted.purge_after(Duration::from_secs(9)).await;
    assert_eq!(vaulted.pending().await, 1, "put off for ten seconds by the second failure");
    vaulted.purge_after(Duration::from_secs(1)).await;
    assert_eq!(vaulted.pending().await, 0);
    assert!(!vaulted.in_vault(agent, credential).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_hangs_holds_up_no_revocation_for_long() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, _) = vaulted.site.credential(agent).await;
    vaulted.faults.always(Operation::Revoke, Fault::Hang);
    let within = tokio::time::timeout(Duration::from_secs(20), vaulted.site.revoke(agent, credential)).await;
    assert_eq!(within.unwrap().status, 204);
    assert_eq!(vaulted.pending().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_agent_is_the_end_of_its_secrets() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (one, first) = vaulted.site.credential(agent).await;
    let (two, second) = vaulted.site.credential(agent).await;
    assert_eq!(vaulted.site.call("DELETE", &format!("/agents/{agent}"), json!(null)).await.status, 204);
    for (credential, secret) in [(one, first), (two, second)] {
        assert!(!vaulted.in_vault(agent, credential).await);
        assert!(!vaulted.site.accepts(agent, &secret).await);
        assert_eq!(vaulted.site.row(agent, credential).await.status, CredentialStatus::Revoked);
    }
    assert_eq!(vaulted.pending().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_vault_its_credentials_neither_fall_back_nor_stay_valid() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, _) = vaulted.site.credential(agent).await;
    let repos = vaulted.site.app.repos.clone();
    let off = Site::build(|app| app.repos = repos).await;
    let reply = off.rotate(agent, credential).await;
    assert_eq!(reply.failure(), (500, "VAULT_WRITE_ERROR".to_owned()));
    assert!(off.row(agent, credential).await.secret.vault_path.is_some());
    assert_eq!(off.revoke(agent, credential).await.status, 204);
    assert_eq!(vaulted.pending().await, 1);
    assert!(vaulted.in_vault(agent, credential).await);
    vaulted.purge_after(Duration::from_secs(5)).await;
    assert!(!vaulted.in_vault(agent, credential).await, "once Vault is configured again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_began_before_an_end_is_wrong_and_not_broken() {
    let Vaulted { site, commits, mount, .. } = Vaulted::new().await;
    let site = Arc::new(site);
    let agent = site.agent("a@agents.example").await;
    let (credential, secret) = site.credential(agent).await;
    let other = Arc::clone(&site);
    commits.after_a_read(async move { assert_eq!(other.revoke(agent, credential).await.status, 204) });
    assert_eq!(site.token_form(grant_form(agent, &secret)).await.status, 401);

    // What is gone while its row stands is broken, and stays so.
    let (credential, secret) = site.credential(agent).await;
    let path = format!("{}/metadata/agentidp/agents/{agent}/credentials/{credential}", mount.name);
    support::bao().root(Method::DELETE, &path, json!(null)).await;
    assert_eq!(site.token_form(grant_form(agent, &secret)).await.failure(), (500, "VAULT_READ_ERROR".to_owned()));
}
