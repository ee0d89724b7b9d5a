//! What other servers do between two steps of one sequence.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentidp_secrets::folder::FolderGate;
use agentidp_secrets::lifecycle::DebtKind;
use agentidp_secrets::testkit::Fault;
use agentidp_secrets::{ErrorKind, Operation};
use agentidp_server::reconcile::{self, Drift, Mode};
use agentidp_server::workers::purge;
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;
use uuid::Uuid;

use super::{LEASE, Vaulted};
use crate::interposed::Before;
use crate::rows;
use crate::site::{Site, use_vault_keeping};
use crate::support;
use crate::support::process::until;

type Happening = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Vaulted {
    /// On a mount that keeps so many versions, and the server knows it.
    async fn told_to_keep(mut self, versions: u64) -> Self {
        let config = format!("{}/config", self.mount.name);
        support::bao().root(Method::POST, &config, json!({ "max_versions": versions })).await;
        self.site.change(|app| use_vault_keeping(app, &self.mount, &self.faults, versions));
        self
    }
}

/// What a rotation has shown, once there was one.
type Shown = Arc<Mutex<Option<String>>>;

impl Vaulted {
    /// Right after the next sequence has opened its write time passes, and another server rotates.
    fn rotated_during_a_stall(self: &Arc<Self>, agent: Uuid, credential: Uuid) -> Shown {
        let (other, shown) = (Arc::clone(self), Shown::default());
        let tell = Arc::clone(&shown);
        self.commits.after_an_open(async move {
            other.site.clock.advance(LEASE);
            let reply = other.site.rotate(agent, credential).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            *tell.lock().unwrap() = Some(reply.secret());
        });
        shown
    }
}

/// A server is about to blank a place; another one moves the credential back there before the first has opened its write.
#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_moves_back_before_its_place_is_blanked_keeps_its_secret() {
    for vaulted in [Vaulted::new().await, Vaulted::on_postgres().await] {
        let agent = vaulted.site.agent("a@agents.example").await;
        let (credential, _) = vaulted.site.credential(agent).await;
        let (_, digest) = vaulted.digest_of(agent, credential).await;
        vaulted.set_columns(agent, credential, digest).await;
        let reply = vaulted.site.rotate(agent, credential).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        purge::round(&vaulted.site.app).await;
        assert!(vaulted.site.accepts(agent, &reply.secret()).await);
        assert_eq!(vaulted.pending().await, 0, "nothing is owed at a place that counts");
    }
}

/// Vault fails in the middle of a repair, whose place has a secret on top that was generated and never shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_takes_no_secret_for_the_current_one_that_was_never_shown() {
    let vaulted = Vaulted::new().await.told_to_keep(4).await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, secret) = vaulted.site.credential(agent).await;
    support::bao().write_root(&vaulted.path(agent, credential), "sk_live_by-hand").await;
    vaulted.commits.next(Before::Outage);
    assert_eq!(vaulted.site.rotate(agent, credential).await.status, 503, "it has written version 3");
    vaulted.faults.once(Operation::Rotate, Fault::Fail(ErrorKind::Unavailable));
    assert_eq!(vaulted.site.rotate(agent, credential).await.status, 500, "a repair that was not written");
    vaulted.site.clock.advance(LEASE);
    purge::round(&vaulted.site.app).await;
    assert!(vaulted.site.accepts(agent, &secret).await, "in the background");
    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
}

/// A repair that evicted the version that the row pins is finished however often its commit fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_is_finished_although_the_first_one_to_finish_it_failed() {
    for by_rotation in [false, true] {
        let vaulted = Vaulted::new().await.told_to_keep(2).await;
        let agent = vaulted.site.agent("a@agents.example").await;
        let (credential, secret) = vaulted.site.credential(agent).await;
        support::bao().write_root(&vaulted.path(agent, credential), "sk_live_by-hand").await;
        vaulted.commits.next_upgrade(Before::Outage);
        assert_eq!(vaulted.site.rotate(agent, credential).await.status, 503);
        vaulted.commits.next_upgrade(Before::Outage);
        if by_rotation {
            assert_eq!(vaulted.site.rotate(agent, credential).await.status, 503);
        } else {
            purge::round(&vaulted.site.app).await;
        }
        vaulted.site.clock.advance(LEASE);
        purge::round(&vaulted.site.app).await;
        assert!(vaulted.site.accepts(agent, &secret).await, "by a rotation: {by_rotation}");
    }
}

/// A repair deletes nothing, so it does not wait until deletions are allowed.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_is_finished_while_deletions_are_stopped() {
    let mut vaulted = Vaulted::new().await.told_to_keep(2).await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, secret) = vaulted.site.credential(agent).await;
    support::bao().write_root(&vaulted.path(agent, credential), "sk_live_by-hand").await;
    vaulted.commits.next_upgrade(Before::Outage);
    assert_eq!(vaulted.site.rotate(agent, credential).await.status, 503);
    let clock = Arc::clone(&vaulted.site.clock);
    vaulted.site.change(|app| app.gate = FolderGate::closed(clock));
    vaulted.site.clock.advance(LEASE);
    purge::round(&vaulted.site.app).await;
    assert!(vaulted.site.accepts(agent, &secret).await);
}

/// A repair that evicts the version that the row pins is not begun while it is in doubt whether what lies on top counts.
#[tokio::test(flavor = "multi_thread")]
async fn in_doubt_no_repair_is_begun_that_evicts_what_counts() {
    let mut vaulted = Vaulted::new().await.told_to_keep(2).await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, secret) = vaulted.site.credential(agent).await;
    support::bao().write_root(&vaulted.path(agent, credential), "sk_live_by-hand").await;
    let clock = Arc::clone(&vaulted.site.clock);
    vaulted.site.change(|app| app.gate = FolderGate::closed(clock));
    let refused = vaulted.site.rotate(agent, credential).await.failure();
    assert_eq!(refused, (500, "VAULT_WRITE_ERROR".to_owned()));
    assert!(vaulted.site.accepts(agent, &secret).await, "nothing was written");
    vaulted.site.change(|app| app.gate = FolderGate::always_open());
    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
}

/// Logins have read their rows before a rotation is committed, and are verified after it.
#[tokio::test(flavor = "multi_thread")]
async fn logins_that_move_what_a_rotation_has_moved_write_nothing() {
    let mut vaulted = Vaulted::new().await.told_to_keep(2).await;
    vaulted.site.change(|app| app.upgrades = true);
    let vaulted = Arc::new(vaulted);
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, presented) = vaulted.bcrypt_credential(agent).await;
    let (site, shown) = (Arc::clone(&vaulted), Arc::new(Mutex::new(None)));
    let tell = Arc::clone(&shown);
    let mut happens: Happening = Box::pin(async move {
        *tell.lock().unwrap() = Some(site.site.rotate(agent, credential).await.secret());
    });
    for _ in 0..3 {
        let (vaulted, presented) = (Arc::clone(&vaulted), presented.clone());
        happens = Box::pin(async move {
            vaulted.commits.after_a_read(happens);
            let others = Arc::strong_count(&vaulted.site.app);
            assert_ne!(vaulted.site.grant(agent, &presented).await.status, 200);
            until("the upgrade has ended", async || Arc::strong_count(&vaulted.site.app) <= others).await;
        });
    }
    happens.await;
    let secret = shown.lock().unwrap().take().unwrap();
    assert!(vaulted.site.accepts(agent, &secret).await, "what a rotation showed works until the next one");
    let path = vaulted.path(agent, credential);
    assert!(support::bao().read_root(&format!("{path}?version=2")).await.is_none(), "nothing was written over it");
}

/// A server stalls between its look at the row and its look at the place, for longer than its lease.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_stalls_past_its_lease_writes_nothing_over_another_one() {
    let vaulted = Arc::new(Vaulted::new().await.told_to_keep(2).await);
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, _) = vaulted.site.credential(agent).await;
    // Something on top, so that it looks before it writes.
    support::bao().write_root(&vaulted.path(agent, credential), "sk_live_by-hand").await;
    let shown = vaulted.rotated_during_a_stall(agent, credential);
    let stalled = vaulted.site.rotate(agent, credential).await;
    let secret = shown.lock().unwrap().take().unwrap();
    assert_ne!(stalled.status, 200, "{stalled:?}");
    assert!(vaulted.site.accepts(agent, &secret).await);
    let path = vaulted.path(agent, credential);
    assert!(support::bao().read_root(&format!("{path}?version=5")).await.is_none(), "nothing was written over it");
}

/// An operator has made a revoked credential active again by hand, so the deletion that is due is never carried out.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_is_never_carried_out_does_not_hold_up_a_comparison() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, secret) = vaulted.site.credential(agent).await;
    let (repos, now) = (&vaulted.site.app.repos, vaulted.site.app.now());
    let owed = rows::debt(DebtKind::Delete, "elsewhere/data/place", now);
    rows::note(repos, agent, credential, now, |note| note.debts.push(owed.clone())).await;
    let mut tell = |_: &Drift| {};
    let pass = reconcile::pass(&vaulted.site.app, Mode::Repair, &mut tell);
    timeout(Duration::from_secs(30), pass).await.expect("the comparison ends").unwrap();
    assert!(vaulted.site.accepts(agent, &secret).await);
}

/// The path was deleted by hand, so the new version has the number of the old one.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_with_the_number_of_the_old_one_redeems_its_write() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, _) = vaulted.site.credential(agent).await;
    vaulted.delete_from_vault(agent, credential).await;
    assert_eq!(vaulted.site.rotate(agent, credential).await.status, 200);
    assert_eq!(vaulted.site.row(agent, credential).await.secret.vault_version, Some(1));
    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
}

/// A row that was deleted by hand can own nothing any more: its places are deleted.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_row_left_that_was_deleted_by_hand_is_deleted() {
    let (mount, faults, mut commits) =
        (support::bao().fresh_mount(2).await, agentidp_secrets::testkit::FaultLayer::new(), None);
    let url = support::postgres().fresh_database().await;
    let site = Site::build_at(&url, |app| commits = Some(Vaulted::set_up(app, &mount, &faults))).await;
    let vaulted = Vaulted { site, faults, commits: commits.unwrap(), mount };
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, _) = vaulted.site.credential(agent).await;
    let (_, digest) = vaulted.digest_of(agent, credential).await;
    vaulted.set_columns(agent, credential, digest).await;
    let mut database = PgConnection::connect(&url).await.unwrap();
    sqlx::query("DELETE FROM credentials").execute(&mut database).await.unwrap();
    purge::round(&vaulted.site.app).await;
    assert!(!vaulted.in_vault(agent, credential).await);
}
