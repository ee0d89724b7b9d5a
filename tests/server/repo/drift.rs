//! What a comparison with Vault reads and schedules.

use agentidp_secrets::lifecycle::DebtKind;
use agentidp_server::repo::{Vouched, Waiting};
use uuid::Uuid;

use super::*;

on_both!(
    active_credentials_come_in_parts_and_by_id,
    a_path_is_adopted_once_and_only_if_nobody_answers_for_it,
    jobs_are_counted_by_whether_they_are_due,
);

async fn active_credentials_come_in_parts_and_by_id(db: Database) {
    let agent = db.agent().await;
    let ended = db.credential(&agent, vaulted("secret/data/ended", 1)).await;
    db.end(&ended, now()).await;
    let mut expected = vec![db.credential(&agent, digest("a")).await];
    for number in 1..=5 {
        expected.push(db.credential(&agent, vaulted("secret/data/a", number)).await);
    }
    expected.sort_by_key(|credential| credential.credential_id);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let part = db.repos.drift.page(after, 2).await.unwrap();
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
    let adopt = async |row: &Credential, path: &str, at| {
        db.repos.drift.adopt(row.client_id, row.credential_id, path, at).await.unwrap()
    };
    assert_eq!(vouched(live.credential_id, "secret/data/live").await, Vouched::Row);
    assert!(!adopt(&live, "secret/data/live", later(600)).await, "its row vouches for it");
    assert!(!adopt(&live, "secret/data/moved", later(600)).await, "the credential is active, and may come back there");

    let orphan = credential(agent.agent_id, vaulted("secret/data/orphan", 1));
    assert_eq!(vouched(orphan.credential_id, "secret/data/orphan").await, Vouched::Nobody);
    assert!(adopt(&orphan, "secret/data/orphan", later(600)).await);
    assert_eq!(vouched(orphan.credential_id, "secret/data/orphan").await, Vouched::Job);
    assert!(!adopt(&orphan, "secret/data/orphan", now()).await, "a job stays as it is");
    assert!(db.repos.changes.due(later(599), 10).await.unwrap().is_empty());
    assert_eq!(db.repos.changes.due(later(600), 10).await.unwrap(), [(agent.agent_id, orphan.credential_id)]);
    assert_eq!(vouched(Uuid::new_v4(), "secret/data/orphan").await, Vouched::Nobody);
}

async fn jobs_are_counted_by_whether_they_are_due(db: Database) {
    for seconds in [0, 1, 2] {
        let owed = rows::debt(DebtKind::Delete, "secret/data/orphan", later(seconds));
        rows::note(&db.repos, Uuid::new_v4(), Uuid::new_v4(), now(), |note| note.debts.push(owed.clone())).await;
    }
    assert_eq!(db.repos.drift.waiting(later(1)).await.unwrap(), Waiting { due: 2, later: 1 });
}
