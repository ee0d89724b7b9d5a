//! What a Vault that is down costs after the first few requests, and that nobody has to help when it is back.

use std::time::Duration;

use super::log::Log;
use super::site::Site;
use super::support::Bao;
use super::wired::vault_site_on;

fn shows(site: &Site, open: u8) -> bool {
    let gauge = format!("agentidp_vault_breaker_open {open}");
    site.app.metrics.render().lines().any(|line| line == gauge)
}

/// Fails until Vault is given up on.
async fn give_up(site: &Site, agent: uuid::Uuid, secret: &str) {
    for _ in 0..5 {
        assert!(shows(site, 0));
        let _ = site.grant(agent, secret).await;
    }
    assert!(shows(site, 1));
}

#[tokio::test]
async fn a_vault_that_is_down_is_left_alone_and_found_again() {
    let (log, _listening) = Log::of_this_thread();
    let mut bao = Bao::start_own().await;
    let site = vault_site_on(&bao, &[]).await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    site.granted(agent, &secret).await;

    bao.stop().await;
    give_up(&site, agent, &secret).await;
    for secret in [secret.as_str(), "wrong"] {
        assert_eq!(site.grant(agent, secret).await.failure(), (500, "VAULT_READ_ERROR".to_owned()));
    }
    // A try that fails keeps it open.
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.grant(agent, &secret).await.failure(), (500, "VAULT_READ_ERROR".to_owned()));
    // Nobody asks it, although it would answer now: the errors come at once.
    bao.start_again().await;
    assert_eq!(site.grant(agent, &secret).await.failure(), (500, "VAULT_READ_ERROR".to_owned()));
    assert!(shows(&site, 1));

    site.clock.advance(Duration::from_secs(1));
    site.granted(agent, &secret).await;
    assert!(shows(&site, 0));
    assert_eq!(site.grant(agent, "wrong").await.refusal(), (401, "invalid_client".to_owned()));

    let text = log.text();
    for (line, times) in [("Vault cannot be asked, so it is left alone", 1), ("Vault answers again", 1)] {
        assert_eq!(text.matches(line).count(), times, "{line} in\n{text}");
    }
    assert!(!text.contains(&secret), "{text}");
}

#[tokio::test]
async fn stale_answers_come_without_asking() {
    let mut bao = Bao::start_own().await;
    let site = vault_site_on(&bao, &[("WARM_VAULT_STALE", "5m")]).await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    site.granted(agent, &secret).await;
    site.clock.advance(Duration::from_millis(1));
    bao.stop().await;
    give_up(&site, agent, &secret).await;
    // Were it asked, it would answer, and the match would not be stale.
    bao.start_again().await;
    site.granted(agent, &secret).await;
    assert!(site.app.metrics.render().contains("agentidp_stale_verifications_total 6"));
    site.clock.advance(Duration::from_secs(1));
    site.granted(agent, &secret).await;
    assert!(site.app.metrics.render().contains("agentidp_stale_verifications_total 6"));
}
