//! Work in the background: it starts with the server, and does what is due and nothing else.

use std::time::Duration;

use agentidp_secrets::lifecycle::DebtKind;
use agentidp_secrets::testkit::{Fault, FaultLayer};
use agentidp_secrets::{ErrorKind, Operation};
use agentidp_server::domain::{AuditEvent, Page};
use agentidp_server::repo::AuditFilter;
use agentidp_server::server::Bounds;
use agentidp_server::workers::{purge, retention};
use uuid::Uuid;

use crate::rows;
use crate::site::Site;
use crate::support;
use crate::support::process::until;
use crate::wire::Served;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_takes_up_the_purges_that_another_left() {
    let (mount, faults) = (support::bao().fresh_mount(2).await, FaultLayer::new());
    let site = Site::vault(&mount, &faults).await;
    let agent = site.agent("a@agents.example").await;
    let (credential, _) = site.credential(agent).await;
    faults.always(Operation::Revoke, Fault::Fail(ErrorKind::Unavailable));
    assert_eq!(site.revoke(agent, credential).await.status, 204);
    let pending = async || site.app.repos.changes.pending().await.unwrap();

    site.clock.advance(Duration::from_secs(3600));
    purge::round(&site.app).await;
    assert_eq!(pending().await, 1, "Vault is still down");
    faults.heal();
    purge::round(&site.app).await;
    assert_eq!(pending().await, 1, "not due again yet");

    site.clock.advance(Duration::from_secs(3600));
    let served = Served::within(Bounds::default(), &site.app).await;
    until("the purge", async || pending().await == 0).await;
    let path = format!("{}/data/agentidp/agents/{agent}/credentials/{credential}", mount.name);
    assert!(!support::bao().metadata_exists(&path).await);
    served.stop().await.await.unwrap().unwrap();
}

#[tokio::test]
async fn without_vault_a_purge_waits_for_it_to_be_configured_again() {
    let site = Site::bcrypt().await;
    let (client, credential, now) = (Uuid::new_v4(), Uuid::new_v4(), site.app.now());
    let owed = rows::debt(DebtKind::Delete, "secret/data/agentidp/agents/a/credentials/c", now);
    rows::note(&site.app.repos, client, credential, now, |note| note.debts.push(owed.clone())).await;
    purge::round(&site.app).await;
    let note = rows::entry(&site.app.repos, client, credential).await.note.unwrap();
    assert_eq!(note.debts, [owed]);
}

#[tokio::test]
async fn audit_events_leave_after_ninety_days() {
    let site = Site::bcrypt().await;
    site.agent("a@agents.example").await;
    retention::round(&site.app).await;
    site.clock.advance(AuditEvent::RETENTION);
    retention::round(&site.app).await;
    assert_eq!(events(&site).await, 1, "still kept");
    site.clock.advance(Duration::from_secs(1));
    retention::round(&site.app).await;
    assert_eq!(events(&site).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_drops_what_is_past_its_time() {
    let site = Site::bcrypt().await;
    site.agent("a@agents.example").await;
    // A process before this one ran for as long: a clock alone makes nothing old.
    retention::round(&site.app).await;
    site.clock.advance(AuditEvent::RETENTION + Duration::from_secs(1));
    assert_eq!(events(&site).await, 1);
    let served = Served::within(Bounds::default(), &site.app).await;
    until("the old event to be dropped", async || events(&site).await == 0).await;
    served.stop().await.await.unwrap().unwrap();
}

/// How many events there are, however old.
async fn events(site: &Site) -> u64 {
    let page = Page::new(1, 1);
    site.app.repos.audit.list(&AuditFilter::default(), page).await.unwrap().total
}
