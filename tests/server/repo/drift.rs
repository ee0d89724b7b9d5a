//! What a comparison with Vault reads and schedules.

use agentidp_server::domain::{AuditAction, PurgeJob};
use agentidp_server::repo::{Vouched, Waiting};
use uuid::Uuid;

use super::*;

on_both!(
    active_credentials_in_vault_come_in_parts_and_by_id,
    a_path_is_adopted_once_and_only_if_nobody_answers_for_it,
    jobs_are_counted_by_whether_they_are_due,
);

async fn active_credentials_in_vault_come_in_parts_and_by_id(db: Database) {
    let agent = db.agent().await;
    db.credential(&agent, digest("a")).await;
    let ended = db.credential(&agent, vaulted("secret/data/ended", 1)).await;
    let revoked = event(AuditAction::CredentialRevoked, agent.agent_id);
    db.repos.credentials.revoke(agent.agent_id, ended.credential_id, now(), &revoked).await.unwrap();
    let mut expected = Vec::new();
    for number in 1..=5 {
        expected.push(db.credential(&agent, vaulted("secret/data/a", number)).await);
    }
    expected.sort_by_key(|credential| credential.credential_id);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let part = db.repos.drift.vaulted(after, 2).await.unwrap();
        let Some(last) = part.last() else { break };
        after = Some(last.credential_id);
        found.extend(part);
    }
    assert_eq!(found, expected);
}

async fn a_path_is_adopted_once_and_only_if_nobody_answers_for_it(db: Database) {
    let agent = db.agent().await;
    let live = db.credential(&agent, vaulted("secret/data/live", 1)).await;
    let vouched = async |id, path: &str| db.repos.drift.vouched(id, path).await.unwrap();
    let of_live = job_of(&live, later(600)).unwrap();
    assert_eq!(vouched(live.credential_id, "secret/data/live").await, Vouched::Row);
    assert!(!db.repos.drift.adopt(&of_live).await.unwrap(), "its row vouches for it");

    let moved = PurgeJob::delete(live.client_id, live.credential_id, "secret/data/moved".to_owned(), later(600));
    assert!(!db.repos.drift.adopt(&moved).await.unwrap(), "the credential is active, and may come back there");

    let orphan = credential(agent.agent_id, vaulted("secret/data/orphan", 1));
    let of_orphan = job_of(&orphan, later(600)).unwrap();
    assert_eq!(vouched(orphan.credential_id, "secret/data/orphan").await, Vouched::Nobody);
    assert!(db.repos.drift.adopt(&of_orphan).await.unwrap());
    assert_eq!(vouched(orphan.credential_id, "secret/data/orphan").await, Vouched::Job);
    let sooner = job_of(&orphan, now()).unwrap();
    assert!(!db.repos.drift.adopt(&sooner).await.unwrap(), "a job stays as it is");
    assert!(db.repos.purges.due(later(599), 10).await.unwrap().is_empty());
    assert_eq!(db.repos.purges.due(later(600), 10).await.unwrap(), [of_orphan]);
    assert_eq!(vouched(Uuid::new_v4(), "secret/data/orphan").await, Vouched::Nobody);
}

async fn jobs_are_counted_by_whether_they_are_due(db: Database) {
    for seconds in [0, 1, 2] {
        let orphan = credential(Uuid::new_v4(), vaulted("secret/data/orphan", 1));
        db.repos.purges.schedule(&job_of(&orphan, later(seconds)).unwrap()).await.unwrap();
    }
    assert_eq!(db.repos.drift.waiting(later(1)).await.unwrap(), Waiting { due: 2, later: 1 });
}
