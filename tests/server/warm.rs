//! Warm verification as the settings make it: what it spares, and what counts at once all the same.

use std::time::Duration;

use super::support::{self, Bao};
use super::wired::{site, vault_site, vault_site_on};

#[tokio::test]
async fn unless_it_is_set_every_token_of_a_vault_backed_credential_asks_vault() {
    let site = vault_site(&[]).await;
    let agent = site.agent("a@example.com").await;
    let (credential, secret) = site.credential(agent).await;
    site.granted(agent, &secret).await;
    let path = site.row(agent, credential).await.secret.vault_path.unwrap();
    support::bao().soft_delete(&path).await;
    assert_eq!(site.grant(agent, &secret).await.failure(), (500, "VAULT_READ_ERROR".to_owned()));
}

#[tokio::test]
async fn a_lifetime_is_how_long_vault_is_not_asked_again() {
    let site = vault_site(&[("WARM_VAULT_LIFETIME", "60s")]).await;
    let agent = site.agent("a@example.com").await;
    let (credential, secret) = site.credential(agent).await;
    site.granted(agent, &secret).await;
    let path = site.row(agent, credential).await.secret.vault_path.unwrap();
    support::bao().soft_delete(&path).await;
    site.clock.advance(Duration::from_secs(59));
    site.granted(agent, &secret).await;
    assert_eq!(site.grant(agent, "wrong").await.refusal(), (401, "invalid_client".to_owned()));
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.grant(agent, &secret).await.failure(), (500, "VAULT_READ_ERROR".to_owned()));
}

#[tokio::test]
async fn rotations_and_revocations_count_from_the_next_request() {
    let vaulted = vault_site(&[("WARM_VAULT_LIFETIME", "60s")]).await;
    for site in [vaulted, site(&[]).await] {
        let agent = site.agent("a@example.com").await;
        let (credential, first) = site.credential(agent).await;
        site.granted(agent, &first).await;
        site.granted(agent, &first).await;
        let second = site.rotate(agent, credential).await.secret();
        assert_eq!(site.grant(agent, &first).await.status, 401);
        site.granted(agent, &second).await;
        assert_eq!(site.revoke(agent, credential).await.status, 204);
        assert_eq!(site.grant(agent, &second).await.status, 401);
    }
}

#[tokio::test]
async fn a_capacity_of_zero_remembers_nothing() {
    let site = vault_site(&[("WARM_CAPACITY", "0"), ("WARM_VAULT_LIFETIME", "60s")]).await;
    let agent = site.agent("a@example.com").await;
    let (credential, secret) = site.credential(agent).await;
    site.granted(agent, &secret).await;
    let path = site.row(agent, credential).await.secret.vault_path.unwrap();
    support::bao().soft_delete(&path).await;
    assert_eq!(site.grant(agent, &secret).await.status, 500);
}

#[tokio::test]
async fn a_stale_window_gets_proved_clients_through_an_outage_and_says_so() {
    let mut bao = Bao::start_own().await;
    let site = vault_site_on(&bao, &[("WARM_VAULT_STALE", "5m")]).await;
    let proved = site.agent("a@example.com").await;
    let (_, secret) = site.credential(proved).await;
    site.granted(proved, &secret).await;

    bao.stop().await;
    site.tick();
    site.granted(proved, &secret).await;
    assert_eq!(site.grant(proved, "wrong").await.refusal(), (401, "invalid_client".to_owned()));
    let event = site.get(&format!("/audit?agentId={proved}&action=token.issued&limit=1")).await.json();
    assert_eq!(event["data"][0]["metadata"]["stale"], true);
    assert!(site.app.metrics.render().contains("agentidp_stale_verifications_total 1"));

    site.clock.advance(Duration::from_secs(300));
    assert_eq!(site.grant(proved, &secret).await.failure(), (500, "VAULT_READ_ERROR".to_owned()));
    bao.start_again().await;
    site.granted(proved, &secret).await;
    let event = site.get(&format!("/audit?agentId={proved}&action=token.issued&limit=1")).await.json();
    assert_eq!(event["data"][0]["metadata"].get("stale"), None);
}
