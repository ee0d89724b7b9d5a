//! Writes to Vault that are about to happen.

use agentidp_server::domain::{AuditAction, OpenWrite};
use agentidp_server::repo::Revoke;

use super::*;

on_both!(
    one_server_holds_the_write_of_a_credential_until_its_lease_is_over,
    a_credential_that_has_ended_gets_no_open_write,
    what_a_dead_move_has_left_is_deleted_at_the_end_and_not_before,
);

/// A move of the credential to Vault.
fn a_move(credential: &Credential) -> OpenWrite {
    let secret = vaulted("secret/data/moving", 1).written_by(Uuid::new_v4());
    write_of(&Credential { secret, ..credential.clone() }, false).unwrap()
}

async fn open(db: &Database, write: &OpenWrite, at: u64) -> Opened {
    db.repos.open_writes.open(write, later(at), later(at + 30)).await.unwrap()
}

async fn one_server_holds_the_write_of_a_credential_until_its_lease_is_over(db: Database) {
    let agent = db.agent().await;
    let row = db.credential(&agent, digest("a")).await;
    let [one, other, third] = [a_move(&row), a_move(&row), a_move(&row)];
    assert_eq!(open(&db, &one, 0).await, Opened::Ours(None));
    assert_eq!(open(&db, &other, 29).await, Opened::Busy);
    assert!(matches!(open(&db, &other, 30).await, Opened::Ours(Some(_))), "the first one has left something");
    assert_eq!(open(&db, &one, 59).await, Opened::Busy, "the first one has lost it");

    db.repos.open_writes.end_lease(row.credential_id, one.attempt, later(31)).await.unwrap();
    assert_eq!(open(&db, &one, 31).await, Opened::Busy, "only its holder ends a lease");
    db.repos.open_writes.end_lease(row.credential_id, other.attempt, later(31)).await.unwrap();
    assert!(matches!(open(&db, &one, 31).await, Opened::Ours(Some(_))));

    assert!(matches!(open(&db, &other, 91 * 86_400).await, Opened::Ours(Some(_))));
    assert!(matches!(open(&db, &third, 32).await, Opened::Ours(Some(_))), "a lease that a wrong clock made is over");
}

async fn a_credential_that_has_ended_gets_no_open_write(db: Database) {
    let agent = db.agent().await;
    let row = db.credential(&agent, digest("a")).await;
    let revoked = event(AuditAction::CredentialRevoked, agent.agent_id);
    db.repos.credentials.revoke(agent.agent_id, row.credential_id, now(), &revoked).await.unwrap();
    assert_eq!(open(&db, &a_move(&row), 0).await, Opened::Ended);
    let unknown = Credential { credential_id: Uuid::new_v4(), ..row };
    assert_eq!(open(&db, &a_move(&unknown), 0).await, Opened::Ended);
}

async fn what_a_dead_move_has_left_is_deleted_at_the_end_and_not_before(db: Database) {
    let agent = db.agent().await;
    let row = db.credential(&agent, digest("a")).await;
    let dead = a_move(&row);
    assert_eq!(open(&db, &dead, 0).await, Opened::Ours(None));
    assert!(db.repos.purges.due(later(86_400), 10).await.unwrap().is_empty(), "the credential counts");

    let revoked = event(AuditAction::CredentialRevoked, agent.agent_id);
    let ended = db.repos.credentials.revoke(agent.agent_id, row.credential_id, now(), &revoked).await.unwrap();
    let Revoke::Revoked(jobs) = ended else { panic!("{ended:?}") };
    assert_eq!(jobs.into_iter().map(|job| job.vault_path).collect::<Vec<_>>(), [dead.vault_path]);
}
