//! New secrets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentidp_secrets::testkit::Fault;
use agentidp_secrets::{ErrorKind, Operation};
use agentidp_server::domain::SecretColumns;

use super::{LEASE, Vaulted};
use crate::interposed::Before;
use crate::support;

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_makes_the_next_version_and_only_that_counts() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, old) = vaulted.site.credential(agent).await;
    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!((reply.status, reply.id("credentialId")), (200, credential));
    assert_eq!(vaulted.site.row(agent, credential).await.secret.vault_version, Some(2));
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
    assert!(!vaulted.site.accepts(agent, &old).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_fails_leaves_the_old_secret_valid() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, old) = vaulted.site.credential(agent).await;
    for fault in [Fault::Fail(ErrorKind::Unavailable), Fault::Fail(ErrorKind::Denied), Fault::LoseAnswer] {
        vaulted.faults.once(Operation::Rotate, fault);
        let reply = vaulted.site.rotate(agent, credential).await;
        assert_eq!(reply.failure(), (500, "VAULT_WRITE_ERROR".to_owned()));
        assert!(vaulted.site.accepts(agent, &old).await);
    }
    vaulted.commits.next(Before::Outage);
    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!(reply.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
    assert!(!reply.text.contains("sk_live_"));
    assert!(vaulted.site.accepts(agent, &old).await, "the row pins the old version");

    // Vault has versions that no row knows of; a rotation gets over them.
    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
    assert!(!vaulted.site.accepts(agent, &old).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_rotations_are_carried_out_one_after_the_other() {
    for vaulted in [Vaulted::new().await, Vaulted::on_postgres().await] {
        race_rotations(&vaulted).await;
    }
}

async fn race_rotations(vaulted: &Vaulted) {
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, first) = vaulted.site.credential(agent).await;
    let (one, two, three) = tokio::join!(
        vaulted.site.rotate(agent, credential),
        vaulted.site.rotate(agent, credential),
        vaulted.site.rotate(agent, credential),
    );
    let mut valid = 0;
    for reply in [one, two, three] {
        assert_eq!(reply.status, 200, "{reply:?}");
        valid += usize::from(vaulted.site.accepts(agent, &reply.secret()).await);
    }
    assert_eq!(valid, 1, "the last one's secret counts");
    assert!(!vaulted.site.accepts(agent, &first).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_stalls_past_its_lease_loses_its_row_and_starts_over() {
    let vaulted = Vaulted::new().await;
    let site = Arc::new(vaulted.site);
    let agent = site.agent("a@agents.example").await;
    let (credential, _) = site.credential(agent).await;
    let (other, theirs) = (Arc::clone(&site), Arc::new(Mutex::new(String::new())));
    let (shown, clock) = (Arc::clone(&theirs), Arc::clone(&site.clock));
    vaulted.commits.run(async move {
        clock.advance(LEASE);
        let reply = other.rotate(agent, credential).await;
        *shown.lock().unwrap() = reply.secret();
    });
    let ours = site.rotate(agent, credential).await;
    assert_eq!(ours.status, 200);
    assert!(site.accepts(agent, &ours.secret()).await);
    let theirs = theirs.lock().unwrap().clone();
    assert!(!site.accepts(agent, &theirs).await, "ours came after theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_in_the_middle_of_a_rotation_wins() {
    let vaulted = Vaulted::new().await;
    let site = Arc::new(vaulted.site);
    let agent = site.agent("a@agents.example").await;
    let (credential, _) = site.credential(agent).await;
    let other = Arc::clone(&site);
    // The purge of the revocation fails, so that only the rotation's own can have done it.
    vaulted.faults.once(Operation::Revoke, Fault::Fail(ErrorKind::Unavailable));
    vaulted.commits.run(async move { assert_eq!(other.revoke(agent, credential).await.status, 204) });
    let reply = site.rotate(agent, credential).await;
    assert_eq!(reply.failure(), (409, "CREDENTIAL_ALREADY_REVOKED".to_owned()));
    let path = format!("{}/data/agentidp/agents/{agent}/credentials/{credential}", vaulted.mount.name);
    assert!(!support::bao().metadata_exists(&path).await, "our version came after the purge and is purged too");
    assert_eq!(site.app.repos.changes.pending().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_moves_to_vault_when_it_rotates() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, old) = vaulted.bcrypt_credential(agent).await;
    assert!(vaulted.site.accepts(agent, &old).await);

    // First in vain: the commit fails after the write.
    vaulted.commits.next(Before::Outage);
    assert_eq!(vaulted.site.rotate(agent, credential).await.status, 503);
    assert!(vaulted.site.accepts(agent, &old).await);
    assert!(vaulted.in_vault(agent, credential).await, "what was written stays: the next move writes over it");
    vaulted.purge_after(Duration::from_secs(3600)).await;

    let reply = vaulted.site.rotate(agent, credential).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let row = vaulted.site.row(agent, credential).await;
    assert_eq!((row.secret.secret_hash, row.secret.vault_path), (None, Some(vaulted.path(agent, credential))));
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
    assert!(!vaulted.site.accepts(agent, &old).await);
    vaulted.purge_after(Duration::from_secs(3600)).await;
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
    assert_eq!(vaulted.site.row(agent, credential).await.secret.vault_version, Some(2), "nothing was adopted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_mends_what_an_accident_broke() {
    let vaulted = Vaulted::new().await;
    let agent = vaulted.site.agent("a@agents.example").await;
    let (credential, _) = vaulted.site.credential(agent).await;
    let path = vaulted.path(agent, credential);
    let accidents = [
        // No record at all; a digest that is none; a row of the documented system; one of another mount.
        SecretColumns::default(),
        SecretColumns { secret_hash: Some("plain".to_owned()), ..SecretColumns::default() },
        SecretColumns { vault_path: Some(path.clone()), ..SecretColumns::default() },
        SecretColumns { vault_path: Some(format!("old-{path}")), vault_version: Some(1), ..SecretColumns::default() },
    ];
    for accident in accidents {
        vaulted.set_columns(agent, credential, accident.clone()).await;
        let reply = vaulted.site.rotate(agent, credential).await;
        assert_eq!(reply.status, 200, "{accident:?}: {reply:?}");
        assert!(vaulted.site.accepts(agent, &reply.secret()).await, "{accident:?}");
    }
    // Somebody deleted the path, or the latest version, by hand.
    vaulted.delete_from_vault(agent, credential).await;
    let reply = vaulted.site.rotate(agent, credential).await;
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
    support::bao().soft_delete(&path).await;
    let reply = vaulted.site.rotate(agent, credential).await;
    assert!(vaulted.site.accepts(agent, &reply.secret()).await);
}
