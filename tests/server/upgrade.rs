//! What a login proves is put into today's form: selectors, keyed digests, the move to Vault without a new secret.

use std::time::Duration;

use agentidp_secrets::testkit::{Fault, FaultLayer};
use agentidp_secrets::{ErrorKind, Operation};
use agentidp_server::domain::Credential;
use sqlx::Connection as _;
use uuid::Uuid;

use super::site::{Site, use_vault};
use super::support;
use super::support::process::until;
use super::wired::{restart, restart_with_vault, site};

const KEYS: (&str, &str) = ("MAC_KEYS", "k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92");
const NEXT_KEYS: (&str, &str) = (
    "MAC_KEYS",
    "k2:5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5,\
     k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92",
);
const OTHER_KEYS: (&str, &str) = ("MAC_KEYS", "k2:5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5");
const KEYED: (&str, &str) = ("SECRET_BACKEND", "keyed-digest");
const UPGRADE: (&str, &str) = ("UPGRADE_ON_VERIFY", "true");

/// Waits until the row is as expected: upgrades are made in the background.
async fn becomes(site: &Site, agent: Uuid, credential: Uuid, expected: impl Fn(&Credential) -> bool + Send + Sync) {
    until("the row", || async { expected(&site.row(agent, credential).await) }).await;
}

fn selector_of(row: &Credential) -> Option<&str> {
    row.secret.secret_selector.as_deref().map(|text| text.split(':').next().unwrap())
}

#[tokio::test]
async fn with_keys_new_secrets_have_a_selector_and_old_ones_get_theirs_at_the_first_login() {
    let mut site = site(&[]).await;
    let agent = site.agent("a@example.com").await;
    let (old, old_secret) = site.credential(agent).await;
    assert_eq!(selector_of(&site.row(agent, old).await), None);

    restart(&mut site, &[KEYS]).await;
    let (new, new_secret) = site.credential(agent).await;
    assert_eq!(selector_of(&site.row(agent, new).await), Some("k1"));
    assert_eq!(site.grant(agent, "wrong").await.status, 401);
    assert_eq!(selector_of(&site.row(agent, old).await), None, "a wrong secret proves nothing");
    site.granted(agent, &old_secret).await;
    becomes(&site, agent, old, |row| selector_of(row) == Some("k1")).await;
    site.granted(agent, &old_secret).await;
    site.granted(agent, &new_secret).await;

    // Another key in front: each proof writes the selector anew.
    restart(&mut site, &[NEXT_KEYS]).await;
    site.granted(agent, &new_secret).await;
    becomes(&site, agent, new, |row| selector_of(row) == Some("k2")).await;

    // A key that is gone only costs the selection.
    restart(&mut site, &[OTHER_KEYS]).await;
    site.granted(agent, &old_secret).await;
    becomes(&site, agent, old, |row| selector_of(row) == Some("k2")).await;
    restart(&mut site, &[]).await;
    site.granted(agent, &old_secret).await;

    let rotated = site.rotate(agent, old).await.secret();
    assert_eq!(selector_of(&site.row(agent, old).await), None, "no keys, no selector: the old one would be wrong");
    site.granted(agent, &rotated).await;
}

#[tokio::test]
async fn who_changes_a_record_by_plain_sql_clears_its_selector() {
    let url = support::postgres().fresh_database().await;
    let mut site = Site::build_at(&url, |_| {}).await;
    restart(&mut site, &[KEYS]).await;
    let agent = site.agent("a@example.com").await;
    let ((one, _), (other, secret)) = (site.credential(agent).await, site.credential(agent).await);
    let mut database = sqlx::PgConnection::connect(&url).await.unwrap();
    // The other's record, as a restored or hand-written row would have it.
    sqlx::query(
        "UPDATE credentials SET secret_hash = (SELECT secret_hash FROM credentials WHERE credential_id = $1) \
         WHERE credential_id = $2",
    )
    .bind(other)
    .bind(one)
    .execute(&mut database)
    .await
    .unwrap();
    assert_eq!(selector_of(&site.row(agent, one).await), None);
    assert_eq!(site.revoke(agent, other).await.status, 204);
    site.granted(agent, &secret).await;
    becomes(&site, agent, one, |row| selector_of(row) == Some("k1")).await;
}

#[tokio::test]
async fn a_login_turns_a_bcrypt_digest_into_a_keyed_one_where_that_is_switched_on() {
    let mut site = site(&[]).await;
    let agent = site.agent("a@example.com").await;
    let (credential, secret) = site.credential(agent).await;
    let is = |row: &Credential, prefix: &str| row.secret.secret_hash.as_ref().unwrap().starts_with(prefix);

    restart(&mut site, &[KEYS, KEYED]).await;
    site.granted(agent, &secret).await;
    becomes(&site, agent, credential, |row| selector_of(row) == Some("k1")).await;
    assert!(is(&site.row(agent, credential).await, "$2b$10$"), "the digest is left alone unless it is switched on");
    let (keyed, keyed_secret) = site.credential(agent).await;
    assert!(is(&site.row(agent, keyed).await, "$hmac-sha256$"));

    restart(&mut site, &[KEYS, KEYED, UPGRADE]).await;
    site.granted(agent, &secret).await;
    becomes(&site, agent, credential, |row| is(row, "$hmac-sha256$")).await;
    for secret in [&secret, &keyed_secret] {
        site.granted(agent, secret).await;
    }
    let wrong: String = secret.chars().map(|digit| if digit == '0' { '1' } else { '0' }).collect();
    assert_eq!(site.grant(agent, &wrong).await.refusal(), (401, "invalid_client".to_owned()));

    // A key that is gone is broken, and not wrong.
    for settings in [&[OTHER_KEYS, KEYED][..], &[]] {
        restart(&mut site, settings).await;
        assert_eq!(site.grant(agent, &secret).await.failure(), (500, "INTERNAL_SERVER_ERROR".to_owned()));
    }
    assert_eq!(site.actions(agent).await.iter().filter(|action| *action == "credential.rotated").count(), 0);
}

#[tokio::test]
async fn a_login_moves_a_bcrypt_credential_to_vault_and_the_client_keeps_its_secret() {
    let (bao, mount) = (support::bao(), support::bao().fresh_mount(2).await);
    let mut site = site(&[]).await;
    let agent = site.agent("a@example.com").await;
    let (credential, secret) = site.credential(agent).await;

    restart_with_vault(&mut site, bao, &mount, &[UPGRADE]).await;
    site.granted(agent, &secret).await;
    becomes(&site, agent, credential, |row| row.secret.vault_path.is_some()).await;
    let row = site.row(agent, credential).await;
    assert_eq!((row.secret.vault_version, &row.secret.secret_hash), (Some(1), &None));
    let held = bao.read_root(row.secret.vault_path.as_deref().unwrap()).await.unwrap();
    assert_eq!(held.client_secret(), secret);
    until("the intent to be dropped", || async { site.app.repos.changes.pending().await.unwrap() == 0 }).await;

    // Also for a server that has seen nothing of it.
    restart_with_vault(&mut site, bao, &mount, &[]).await;
    site.granted(agent, &secret).await;
    assert_eq!(site.grant(agent, "wrong").await.status, 401);
}

#[tokio::test]
async fn an_upgrade_that_fails_or_loses_a_race_fails_no_login_and_leaves_nothing_that_counts() {
    let (mount, faults) = (support::bao().fresh_mount(2).await, FaultLayer::new());
    let mut site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (credential, secret) = site.credential(agent).await;
    site.change(|app| {
        use_vault(app, &mount, &faults);
        app.upgrades = true;
    });
    faults.always(Operation::Store, Fault::Fail(ErrorKind::Unavailable));
    site.granted(agent, &secret).await;
    until("the attempt", || async { faults.calls(Operation::Store) == 1 }).await;
    assert!(site.row(agent, credential).await.secret.secret_hash.is_some());

    faults.heal();
    // The first attempt may still be giving up its place.
    until("a later login's upgrade", || async {
        // After a failure none begins for a while.
        site.clock.advance(Duration::from_secs(30));
        site.granted(agent, &secret).await;
        site.row(agent, credential).await.secret.vault_path.is_some()
    })
    .await;
    site.granted(agent, &secret).await;
}

#[tokio::test]
async fn settings_bound_upgrades_and_the_metrics_count_them() {
    let mut site = site(&[]).await;
    let (kept, moved) = (site.agent("kept@example.com").await, site.agent("moved@example.com").await);
    let (excepted, excepted_secret) = site.credential(kept).await;
    let ((one, first), (other, second)) = (site.credential(moved).await, site.credential(moved).await);
    let except = kept.to_string();
    let bounds = [UPGRADE, ("BCRYPT_COST", "11"), ("UPGRADE_RATE", "1"), ("UPGRADE_EXCEPT", except.as_str())];
    restart(&mut site, &bounds).await;
    let is_raised = |row: &Credential| row.secret.secret_hash.as_ref().unwrap().starts_with("$2b$11$");
    site.granted(kept, &excepted_secret).await;
    site.granted(moved, &first).await;
    site.granted(moved, &second).await;
    becomes(&site, moved, one, is_raised).await;
    assert!(!is_raised(&site.row(moved, other).await), "over the rate");
    site.clock.advance(Duration::from_secs(1));
    site.granted(moved, &second).await;
    becomes(&site, moved, other, is_raised).await;
    assert!(!is_raised(&site.row(kept, excepted).await));
    let counted = |outcome: &str, count: u32| {
        format!("agentidp_upgrades_total{{from=\"bcrypt\",to=\"bcrypt\",outcome=\"{outcome}\"}} {count}")
    };
    until("the metrics", || async { site.app.metrics.render().contains(&counted("success", 2)) }).await;
    assert!(site.app.metrics.render().contains(&counted("failure", 0)));
}
