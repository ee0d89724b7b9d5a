//! What a comparison with Vault reads.

use agentidp_secrets::lifecycle::DebtKind;
use agentidp_server::repo::{Backends, Waiting};
use uuid::Uuid;

use super::*;

on_both!(
    active_credentials_come_in_parts_and_by_id,
    jobs_are_counted_by_whether_they_are_due,
    credentials_are_counted_by_what_verifies_them,
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

async fn jobs_are_counted_by_whether_they_are_due(db: Database) {
    for seconds in [0, 1, 2] {
        let owed = rows::debt(DebtKind::Delete, "secret/data/orphan", later(seconds));
        rows::note(&db.repos, Uuid::new_v4(), Uuid::new_v4(), now(), |note| note.debts.push(owed.clone())).await;
    }
    assert_eq!(db.repos.drift.waiting(later(1)).await.unwrap(), Waiting { due: 2, later: 1 });
}

async fn credentials_are_counted_by_what_verifies_them(db: Database) {
    let agent = db.agent().await;
    let hashed = |text: &str| {
        let columns = SecretColumns { secret_hash: Some(text.to_owned()), ..SecretColumns::default() };
        columns.written_by(Uuid::new_v4())
    };
    let keyed = |id: &str| hashed(&format!("$hmac-sha256$v=1$keyid={id}$00$11"));
    for secret in [
        keyed("k1"),
        keyed("2027-01"),
        keyed("k1"),
        hashed("$2b$10$a"),
        hashed("$argon2id$v=19$a"),
        vaulted("secret/data/a", 1),
    ] {
        db.credential(&agent, secret).await;
    }
    let ended = db.credential(&agent, keyed("k9")).await;
    db.end(&ended, now()).await;
    let keys = [("k1", 2), ("2027-01", 1)].map(|(id, count)| (id.to_owned(), count)).to_vec();
    let expected = Backends { bcrypt: 1, argon2: 1, vault: 1, keyed: 3, keys };
    assert_eq!(db.repos.drift.backends().await.unwrap(), expected);
    for (path, count) in [("secret/data/", 0), ("secret/data/a", 0), ("secret/data/b/", 1), ("s%/data/", 1)] {
        assert_eq!(db.repos.drift.outside(path).await.unwrap(), count, "{path}");
    }
}
