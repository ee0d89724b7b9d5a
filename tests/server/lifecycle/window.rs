//! No number of writes without a commit costs an acknowledged secret (fault F2).

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::testkit::Fault;
use agentidp_secrets::{ErrorKind, Operation};
use agentidp_server::domain::SecretColumns;
use agentidp_server::workers::purge;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::{LEASE, Vaulted};
use crate::interposed::Before;
use crate::site::use_vault_keeping;
use crate::support;

impl Vaulted {
    /// A mount that keeps so many versions of a secret; the server is told so, or believes in 10.
    async fn keeping(self, versions: u64, is_told: bool) -> Self {
        let config = format!("{}/config", self.mount.name);
        support::bao().root(Method::POST, &config, json!({ "max_versions": versions })).await;
        let mut this = self;
        let kept = if is_told { versions } else { 10 };
        this.site.change(|app| use_vault_keeping(app, &this.mount, &this.faults, kept));
        this
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_rotations_whose_commit_fails_cost_no_acknowledged_secret() {
    for (kept, rotations) in [(10, 12), (2, 3), (2, 12)] {
        for vaulted in [Vaulted::new().await, Vaulted::on_postgres().await] {
            let vaulted = vaulted.keeping(kept, false).await;
            let agent = vaulted.site.agent("a@agents.example").await;
            let (credential, secret) = vaulted.site.credential(agent).await;
            for _ in 0..rotations {
                vaulted.commits.next(Before::Outage);
                assert_eq!(vaulted.site.rotate(agent, credential).await.status, 503);
                assert!(vaulted.site.accepts(agent, &secret).await, "{kept} kept");
            }
            let reply = vaulted.site.rotate(agent, credential).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            assert!(vaulted.site.accepts(agent, &reply.secret()).await);
            assert!(!vaulted.site.accepts(agent, &secret).await);
            assert_eq!(vaulted.site.row(agent, credential).await.secret.vault_version, Some(2), "one write, adopted");
        }
    }
}

/// The answers to the writes are lost as well, so that nobody knows which of them took place.
#[tokio::test(flavor = "multi_thread")]
async fn rotations_whose_write_is_undecided_cost_no_acknowledged_secret() {
    let vaulted = Vaulted::new().await.keeping(2, false).await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, secret) = vaulted.site.credential(agent).await;
    for fault in [Fault::LoseAnswer, Fault::Fail(ErrorKind::Unavailable)].into_iter().cycle().take(12) {
        vaulted.faults.once(Operation::Rotate, fault);
        let reply = vaulted.site.rotate(agent, credential).await;
        // The second one finds what the first has written, and takes it.
        if reply.status == 200 {
            assert!(!vaulted.site.accepts(agent, &secret).await);
            return;
        }
        assert!(vaulted.site.accepts(agent, &secret).await, "{fault:?}");
    }
    panic!("no rotation was carried out");
}

/// An operator, or a server of an older release, writes versions that no row points to.
#[tokio::test(flavor = "multi_thread")]
async fn versions_written_by_hand_between_rotations_cost_no_acknowledged_secret() {
    for (kept, is_told) in [(10, true), (3, true), (3, false), (2, true)] {
        let vaulted = Vaulted::new().await.keeping(kept, is_told).await;
        let agent = vaulted.site.agent("a@agents.example").await;
        let (credential, mut secret) = vaulted.site.credential(agent).await;
        let path = vaulted.path(agent, credential);
        // A version to be evicted, so that the place shows how many are kept.
        for _ in 0..kept {
            secret = vaulted.site.rotate(agent, credential).await.secret();
        }
        for round in 0..10 {
            // By hand alone a mount that keeps two would lose the secret that counts.
            support::bao().write_root(&path, &format!("sk_live_by-hand-{round}")).await;
            assert!(vaulted.site.accepts(agent, &secret).await, "round {round}, {kept} kept");
            vaulted.commits.next(Before::Outage);
            let failed = vaulted.site.rotate(agent, credential).await;
            assert_eq!(failed.status, 503, "{failed:?}");
            assert!(vaulted.site.accepts(agent, &secret).await, "round {round}, {kept} kept, after a failed commit");
            if kept < 4 {
                let reply = vaulted.site.rotate(agent, credential).await;
                assert_eq!(reply.status, 200, "{reply:?}");
                secret = reply.secret();
            }
        }
        let reply = vaulted.site.rotate(agent, credential).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(vaulted.site.accepts(agent, &reply.secret()).await);
    }
}

/// The setting says 10 and the mount keeps three: that the version before the pinned one is gone shows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_keeps_fewer_versions_than_the_setting_says_costs_no_acknowledged_secret() {
    let vaulted = Vaulted::new().await.keeping(3, false).await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, _) = vaulted.site.credential(agent).await;
    let secret = vaulted.site.rotate(agent, credential).await.secret();
    support::bao().write_root(&vaulted.path(agent, credential), "sk_live_by-hand").await;
    for _ in 0..4 {
        vaulted.commits.next(Before::Outage);
        assert_eq!(vaulted.site.rotate(agent, credential).await.status, 503);
        assert!(vaulted.site.accepts(agent, &secret).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_ten_versions_written_by_hand_at_once_the_next_rotation_works() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, secret) = vaulted.site.credential(agent).await;
    let path = vaulted.path(agent, credential);
    for number in 0..9 {
        support::bao().write_root(&path, &format!("sk_live_by-hand-{number}")).await;
    }
    assert!(vaulted.site.accepts(agent, &secret).await, "the last one that is kept");
    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
    // Now the hand alone has evicted the version that the row pins: nothing is left to protect.
    for number in 0..10 {
        support::bao().write_root(&path, &format!("sk_live_by-hand-{number}")).await;
    }
    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
}

/// A repair writes the current secret anew before it would be evicted, and its commit fails: the secret is found again.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_whose_commit_never_came_is_finished_and_its_secret_is_never_shown() {
    let vaulted = Vaulted::new().await.keeping(2, true).await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, secret) = vaulted.site.credential(agent).await;
    support::bao().write_root(&vaulted.path(agent, credential), "sk_live_by-hand").await;
    vaulted.commits.next_upgrade(Before::Outage);
    assert_eq!(vaulted.site.rotate(agent, credential).await.status, 503);
    // The background finishes it.
    vaulted.site.clock.advance(LEASE);
    purge::round(&vaulted.site.app).await;
    assert!(vaulted.site.accepts(agent, &secret).await);
    let row = vaulted.site.row(agent, credential).await;
    assert_eq!(row.secret.vault_version, Some(3), "the same secret once more");
    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!(reply.status, 200);
    assert_ne!(reply.secret(), secret);
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_racing_rotations_leave_one_acknowledged_secret() {
    for kept in [2, 10] {
        let vaulted = Arc::new(Vaulted::on_postgres().await.keeping(kept, true).await);
        let agent = vaulted.site.agent("a@agents.example").await;
        let (credential, _) = vaulted.site.credential(agent).await;
        let mut race = JoinSet::new();
        for _ in 0..40 {
            let vaulted = Arc::clone(&vaulted);
            race.spawn(async move {
                let reply = vaulted.site.rotate(agent, credential).await;
                (reply.status, (reply.status == 200).then(|| reply.secret()))
            });
        }
        let (mut valid, mut shown) = (0, 0);
        for (status, secret) in race.join_all().await {
            assert!(matches!(status, 200 | 503), "{status}");
            let Some(secret) = secret else { continue };
            shown += 1;
            valid += usize::from(vaulted.site.accepts(agent, &secret).await);
        }
        assert!(shown >= 1);
        assert_eq!(valid, 1, "of {shown} acknowledged ones the last, {kept} kept");
        assert_eq!(vaulted.site.rotate(agent, credential).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_waits_for_another_one_and_says_so_when_it_takes_too_long() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, secret) = vaulted.site.credential(agent).await;
    // Another server holds the write, and has died.
    let row = vaulted.site.row(agent, credential).await;
    let dead = row.secret.clone().written_by(uuid::Uuid::new_v4());
    vaulted.site.open_write(&agentidp_server::domain::Credential { secret: dead, ..row }).await;
    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!(reply.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
    assert!(reply.headers.contains_key("retry-after"));
    assert!(vaulted.site.accepts(agent, &secret).await);
    vaulted.site.clock.advance(LEASE);
    assert_eq!(vaulted.site.rotate(agent, credential).await.status, 200, "its lease is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_path_is_pinned_before_it_is_written_over() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, secret) = vaulted.site.credential(agent).await;
    let bare = SecretColumns { vault_path: Some(vaulted.path(agent, credential)), ..SecretColumns::default() };
    vaulted.set_columns(agent, credential, bare).await;
    vaulted.commits.next(Before::Outage);
    assert_eq!(vaulted.site.rotate(agent, credential).await.status, 503);
    assert_eq!(
        vaulted.site.row(agent, credential).await.secret.vault_version,
        Some(1),
        "pinned by a commit of its own"
    );
    assert!(vaulted.site.accepts(agent, &secret).await, "what was written over it counts for nothing");
    let reply = vaulted.site.rotate(agent, credential).await;
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
    vaulted.site.clock.advance(Duration::from_secs(60));
}
