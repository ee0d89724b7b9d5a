//! What a comparison with Vault reads.

use agentidp_secrets::lifecycle::DebtKind;
use agentidp_server::repo::Waiting;
use uuid::Uuid;

use super::*;

on_both!(active_credentials_come_in_parts_and_by_id, jobs_are_counted_by_whether_they_are_due,);

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

async fn jobs_are_counted_by_whether_they_are_due(db: Database) {
    for seconds in [0, 1, 2] {
        let owed = rows::debt(DebtKind::Delete, "secret/data/orphan", later(seconds));
        rows::note(&db.repos, Uuid::new_v4(), Uuid::new_v4(), now(), |note| note.debts.push(owed.clone())).await;
    }
    assert_eq!(db.repos.drift.waiting(later(1)).await.unwrap(), Waiting { due: 2, later: 1 });
}
