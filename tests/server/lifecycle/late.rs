//! What Vault carries out after its caller has given up hurts nothing that counts, and leaves nothing (fault F3).

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::backends::{Bcrypt, VaultKv2};
use agentidp_secrets::testkit::FaultLayer;
use agentidp_secrets::{SecretStore, stack};
use agentidp_server::workers::purge;
use serde_json::json;
use uuid::Uuid;

use super::Vaulted;
use crate::late::LateLayer;
use crate::support;

/// How late a call may be.
const DELAYS: [Duration; 3] = [Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(600)];

impl Vaulted {
    /// With a Vault that can be late.
    async fn late() -> (Self, LateLayer) {
        let (mut this, late) = (Self::new().await, LateLayer::default());
        let vault =
            VaultKv2::builder(support::bao().address(), this.mount.policy_token.as_str()).mount(&this.mount.name);
        let store = SecretStore::builder(stack(vault.build().unwrap(), &[&late, &FaultLayer::new()]));
        let bcrypt = Bcrypt::builder().minimum_cost_for_tests().build().unwrap();
        this.site.change(|app| app.store = store.accepts(bcrypt).clock(Arc::clone(&app.clock)).build().unwrap());
        (this, late)
    }

    /// All that the background does in two days.
    async fn two_days_of_purges(&self) {
        for seconds in [0, 5, 10, 90, 3600, 3600, 86_400, 86_400] {
            self.site.clock.advance(Duration::from_secs(seconds));
            purge::round(&self.site.app).await;
        }
        assert_eq!(self.pending().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_write_of_a_rotation_costs_no_acknowledged_secret() {
    for delay in DELAYS {
        let (vaulted, late) = Vaulted::late().await;
        let agent = vaulted.site.agent("a@agents.example").await;
        let (credential, first) = vaulted.site.credential(agent).await;
        late.be_late(true);
        assert_eq!(vaulted.site.rotate(agent, credential).await.status, 500);
        late.be_late(false);
        vaulted.site.clock.advance(delay);
        assert!(vaulted.site.accepts(agent, &first).await);
        let second = vaulted.site.rotate(agent, credential).await.secret();
        assert_eq!(late.carry_out().await, 1);
        assert!(vaulted.site.accepts(agent, &second).await, "after {delay:?}");
        let third = vaulted.site.rotate(agent, credential).await.secret();
        assert!(vaulted.site.accepts(agent, &third).await && !vaulted.site.accepts(agent, &second).await);
    }
}

/// The late write comes first: it is recognised by its digest and taken, or written over.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_arrives_between_two_rotations_is_taken_and_never_shown_twice() {
    let (vaulted, late) = Vaulted::late().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, first) = vaulted.site.credential(agent).await;
    let mut shown = vec![first];
    for _ in 0..5 {
        late.be_late(true);
        assert_eq!(vaulted.site.rotate(agent, credential).await.status, 500);
        late.be_late(false);
        late.carry_out().await;
        assert!(vaulted.site.accepts(agent, shown.last().unwrap()).await);
        let secret = vaulted.site.rotate(agent, credential).await.secret();
        assert!(vaulted.site.accepts(agent, &secret).await && !shown.contains(&secret));
        shown.push(secret);
    }
    let row = vaulted.site.row(agent, credential).await;
    assert_eq!(row.secret.vault_version, Some(6), "each version was taken, none written over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_first_write_of_a_new_credential_leaves_no_orphan() {
    for delay in DELAYS {
        let (vaulted, late) = Vaulted::late().await;
        let agent = vaulted.site.agent("a@agents.example").await;
        late.be_late(true);
        let reply = vaulted.site.call("POST", &format!("/agents/{agent}/credentials"), json!(null)).await;
        assert_eq!(reply.status, 500);
        late.be_late(false);
        let due = vaulted.site.app.repos.changes.due(vaulted.site.app.now(), 9).await.unwrap();
        let [(_, credential)] = due.try_into().unwrap();
        purge::round(&vaulted.site.app).await;
        vaulted.site.clock.advance(delay);
        purge::round(&vaulted.site.app).await;
        assert_eq!(late.carry_out().await, 1);
        assert!(vaulted.in_vault(agent, credential).await, "Vault had forgotten it before it came");
        vaulted.two_days_of_purges().await;
        assert!(!vaulted.in_vault(agent, credential).await, "late by {delay:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_deletion_finds_nothing_that_counts() {
    for delay in DELAYS {
        let (vaulted, late) = Vaulted::late().await;
        let agent = vaulted.site.agent("a@agents.example").await;
        let (ended, _) = vaulted.site.credential(agent).await;
        let (other, secret) = vaulted.site.credential(agent).await;
        late.be_late(true);
        assert_eq!(vaulted.site.revoke(agent, ended).await.status, 204);
        late.be_late(false);
        vaulted.site.clock.advance(delay);
        purge::round(&vaulted.site.app).await;
        assert_eq!(late.carry_out().await, 1);
        assert!(vaulted.site.accepts(agent, &secret).await);
        assert!(vaulted.in_vault(agent, other).await && !vaulted.in_vault(agent, ended).await);
    }
}

/// A credential moves in, its commit fails, it moves in again, away and back, with every call late in between: a place that
/// can come back is never deleted, so there is no deletion that could be late.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_late_while_a_credential_moves_costs_no_acknowledged_secret() {
    for delay in DELAYS {
        let (vaulted, late) = Vaulted::late().await;
        let agent = vaulted.site.agent("a@agents.example").await;
        let (credential, first) = vaulted.bcrypt_credential(agent).await;
        late.be_late(true);
        assert_eq!(vaulted.site.rotate(agent, credential).await.status, 500, "the move in");
        late.be_late(false);
        assert!(vaulted.site.accepts(agent, &first).await);
        vaulted.site.clock.advance(delay);
        purge::round(&vaulted.site.app).await;
        let second = vaulted.site.rotate(agent, credential).await.secret();
        late.carry_out().await;
        assert!(vaulted.site.accepts(agent, &second).await);

        // Away, with blank versions that are late, and back.
        let digest = vaulted.digest_of(agent, credential).await;
        vaulted.set_columns(agent, credential, digest.1).await;
        late.be_late(true);
        purge::round(&vaulted.site.app).await;
        late.be_late(false);
        vaulted.site.clock.advance(delay);
        let third = vaulted.site.rotate(agent, credential).await;
        assert_eq!(third.status, 200, "{third:?}");
        late.carry_out().await;
        purge::round(&vaulted.site.app).await;
        assert!(vaulted.site.accepts(agent, &third.secret()).await, "late by {delay:?}");

        assert_eq!(vaulted.site.revoke(agent, credential).await.status, 204);
        vaulted.two_days_of_purges().await;
        assert!(!vaulted.in_vault(agent, credential).await, "no orphan");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_a_credential_has_left_holds_no_secret_any_more() {
    let (vaulted, _) = Vaulted::late().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, _) = vaulted.site.credential(agent).await;
    for _ in 0..3 {
        assert_eq!(vaulted.site.rotate(agent, credential).await.status, 200);
    }
    let (secret, columns) = vaulted.digest_of(agent, credential).await;
    vaulted.set_columns(agent, credential, columns).await;
    purge::round(&vaulted.site.app).await;
    let path = vaulted.path(agent, credential);
    for version in 1..=20 {
        let held = support::bao().read_root(&format!("{path}?version={version}")).await;
        assert!(held.is_none_or(|held| held.data["clientSecret"].is_null()), "version {version}");
    }
    assert!(vaulted.site.accepts(agent, &secret).await);
    assert_eq!(vaulted.pending().await, 0);
    // It comes back, and ends.
    let back = vaulted.site.rotate(agent, credential).await.secret();
    assert!(vaulted.site.accepts(agent, &back).await);
    assert_eq!(vaulted.site.revoke(agent, credential).await.status, 204);
    assert!(!vaulted.in_vault(agent, credential).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_deletes_what_a_failed_move_has_left() {
    let (vaulted, late) = Vaulted::late().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, _) = vaulted.bcrypt_credential(agent).await;
    late.be_late(true);
    assert_eq!(vaulted.site.rotate(agent, credential).await.status, 500);
    late.be_late(false);
    late.carry_out().await;
    assert!(vaulted.in_vault(agent, credential).await);
    let other = Uuid::new_v4();
    assert_eq!(vaulted.site.revoke(agent, other).await.status, 404);
    assert_eq!(vaulted.site.revoke(agent, credential).await.status, 204);
    assert!(!vaulted.in_vault(agent, credential).await);
}
