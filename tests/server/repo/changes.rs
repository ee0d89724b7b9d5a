//! Transactions that change credentials, and what is noted of them.

use std::time::SystemTime;

use agentidp_secrets::lifecycle::{Debt, DebtKind, Note, OpenWrite, OpenWriteKind, Revision, SecretDigest, State};
use agentidp_server::domain::{AgentStatus, AuditAction, PreviousColumns};
use uuid::Uuid;

use super::*;
use crate::rows;

on_both!(
    a_row_with_its_previous_secret_reads_back_equal,
    a_previous_secret_ends_when_somebody_else_changes_the_row,
    a_note_of_every_kind_reads_back_equal,
    a_transaction_that_is_dropped_changes_nothing,
    a_write_of_the_columns_by_hand_gives_a_fresh_revision,
    what_is_due_comes_longest_due_first,
    what_was_ended_by_hand_is_due,
    jobs_of_an_older_release_are_taken_over,
    a_claim_of_an_older_release_refuses_writes_and_commits_at_its_place,
    a_first_use_counts_for_the_revision_it_was_seen_in,
);

fn previous(hash: Option<&str>, path: Option<&str>) -> PreviousColumns {
    PreviousColumns {
        written: None,
        hash: hash.map(|text| format!("$2b$10${text}")),
        path: path.map(str::to_owned),
        version: path.map(|_| 7),
        selector: Some("k1:0123456789abcdef".to_owned()),
        expires_at: later(60),
    }
}

async fn a_row_with_its_previous_secret_reads_back_equal(db: Database) {
    let agent = db.agent().await;
    let mut before = db.credential(&agent, digest("a")).await;
    for (secret, previous) in [
        (vaulted("secret/data/b", 1), Some(previous(Some("a"), None))),
        (digest("c"), Some(previous(None, Some("secret/data/b")))),
        (digest("d"), None),
    ] {
        let secret = SecretColumns { previous: previous.map(Box::new), ..secret };
        let after = Credential { secret, expires_at: Some(later(90)), ..before.clone() };
        rows::put(&db.repos, &after).await;
        assert_eq!(db.credential_now(&before).await, after);
        let State::Active(row) = rows::entry(&db.repos, agent.agent_id, after.credential_id).await.state else {
            panic!("it is active");
        };
        assert_eq!(*row, after.to_row().unwrap());
        let known = db.repos.credentials.authenticate(agent.agent_id, now()).await.unwrap().unwrap();
        assert_eq!(known.candidates()[0].1, after.secret.to_secrets().unwrap());
        before = after;
    }
}

async fn a_previous_secret_ends_when_somebody_else_changes_the_row(db: Database) {
    let agent = db.agent().await;
    let secret = SecretColumns { previous: Some(Box::new(previous(Some("old"), None))), ..digest("a") };
    let row = db.credential(&agent, secret).await;
    assert!(db.credential_now(&row).await.secret.previous.is_some());
    let by_hand = "UPDATE credentials SET secret_hash = '$2b$10$by-hand'";
    db.sql(by_hand).await.unwrap();
    assert_eq!(db.credential_now(&row).await.secret.previous, None, "the columns are still there, of another revision");
}

async fn a_note_of_every_kind_reads_back_equal(db: Database) {
    let (client, credential) = (Uuid::new_v4(), Uuid::new_v4());
    let kinds = [
        OpenWriteKind::Create,
        OpenWriteKind::Move,
        OpenWriteKind::Rotate,
        OpenWriteKind::Repair,
        OpenWriteKind::Pin,
        OpenWriteKind::Blank,
    ];
    let debts: Vec<Debt> = [DebtKind::Delete, DebtKind::Blank, DebtKind::Rest]
        .into_iter()
        .zip(1_u32..)
        .map(|(kind, number)| Debt {
            claimed_until: (number > 1).then(|| later(9).into()),
            attempts: number,
            deletions: number + 1,
            ..rows::debt(kind, &format!("secret/data/{number}"), later(u64::from(number)))
        })
        .collect();
    for (kind, digests) in kinds.into_iter().zip([vec![], vec!["a:b", "current:c:d"]].into_iter().cycle()) {
        let open = OpenWrite {
            kind,
            place: rows::place("secret/data/open"),
            base: 3,
            attempt: Revision::from_bytes([7; 16]),
            digests: digests.into_iter().map(SecretDigest::parse).collect(),
            lease_until: SystemTime::from(later(30)),
        };
        let expected = Note { open: Some(open), debts: debts.clone() };
        rows::note(&db.repos, client, credential, now(), |note| *note = expected.clone()).await;
        assert_eq!(rows::entry(&db.repos, client, credential).await.note, Some(expected));
    }
    rows::note(&db.repos, client, credential, now(), |note| *note = Note::default()).await;
    assert_eq!(rows::entry(&db.repos, client, credential).await.note, None);
}

async fn a_transaction_that_is_dropped_changes_nothing(db: Database) {
    let agent = db.agent().await;
    let row = db.credential(&agent, vaulted("secret/data/a", 1)).await;
    let fails = db.event_that_fails().await;
    let mut tx = db.repos.changes.begin().await.unwrap();
    tx.lock_agent(agent.agent_id).await.unwrap();
    tx.lock(agent.agent_id, row.credential_id).await.unwrap();
    tx.update_agent(&changed(&agent, AgentStatus::Decommissioned)).await.unwrap();
    tx.end(agent.agent_id, row.credential_id, now()).await.unwrap();
    let note = Note { debts: vec![rows::debt(DebtKind::Delete, "secret/data/a", now())], ..Note::default() };
    tx.note(agent.agent_id, row.credential_id, &note, now()).await.unwrap();
    tx.append(&fails).await.unwrap_err();
    drop(tx);
    assert_eq!(db.credential_now(&row).await, row);
    assert_eq!(db.repos.agents.find(agent.agent_id).await.unwrap(), Some(agent));
    assert_eq!(db.repos.changes.pending().await.unwrap(), 0);
}

/// An older release, or SQL by hand, sets no revision: a trigger does.
async fn a_write_of_the_columns_by_hand_gives_a_fresh_revision(db: Database) {
    let agent = db.agent().await;
    let before = db.credential(&agent, digest("a")).await;
    let mut seen = vec![before.secret.revision];
    for hash in ["b", "a"] {
        db.sql(&format!("UPDATE credentials SET secret_hash = '$2b$10${hash}'")).await.unwrap();
        let row = db.credential_now(&before).await;
        assert!(row.secret.revision.is_some() && !seen.contains(&row.secret.revision), "{hash}");
        seen.push(row.secret.revision);
    }
    db.sql("UPDATE credentials SET revision = NULL").await.unwrap();
    assert_eq!(db.credential_now(&before).await.secret.revision, None, "a row from before the column");
}

async fn what_is_due_comes_longest_due_first(db: Database) {
    let client = Uuid::new_v4();
    let [third, first, second, late] = [(); 4].map(|()| Uuid::new_v4());
    for (credential, seconds) in [(third, 3), (first, 1), (second, 2), (late, 9)] {
        let owed = rows::debt(DebtKind::Delete, "secret/data/a", later(seconds));
        rows::note(&db.repos, client, credential, now(), |note| note.debts.push(owed.clone())).await;
    }
    let due = async |at, limit| -> Vec<Uuid> {
        let due = db.repos.changes.due(at, limit).await.unwrap();
        due.into_iter().map(|(_, credential)| credential).collect()
    };
    assert!(due(now(), 10).await.is_empty());
    assert_eq!(due(later(3), 10).await, [first, second, third]);
    assert_eq!(due(later(3), 2).await, [first, second]);
    assert_eq!(db.repos.changes.pending().await.unwrap(), 4, "asking takes nothing away");
}

/// A server of an older release, or an operator's SQL, ends a credential and knows nothing of what it has left elsewhere.
async fn what_was_ended_by_hand_is_due(db: Database) {
    let agent = db.agent().await;
    let [moving, moved, alive] = [
        db.credential(&agent, digest("a")).await,
        db.credential(&agent, digest("b")).await,
        db.credential(&agent, digest("c")).await,
    ];
    for row in [&moving, &alive] {
        let write = Credential { secret: vaulted("secret/data/written", 1), ..row.clone() };
        rows::open_write(&db.repos, &write, now()).await;
    }
    let rest = rows::debt(DebtKind::Rest, "secret/data/left", now());
    for row in [&moved, &alive] {
        rows::note(&db.repos, agent.agent_id, row.credential_id, now(), |note| note.debts.push(rest.clone())).await;
    }
    let due = async |at| db.repos.changes.due(at, 10).await.unwrap();
    assert!(due(later(30)).await.is_empty());
    db.sql(&format!("UPDATE credentials SET status = 'revoked' WHERE credential_id <> '{}'", alive.credential_id))
        .await
        .unwrap();
    assert_eq!(due(now()).await, [(agent.agent_id, moved.credential_id)], "a write is under way at the other place");
    assert_eq!(due(later(30)).await.len(), 2);
}

/// They delete whatever has no row at its path: of a credential that counts elsewhere the place is only kept in mind.
async fn jobs_of_an_older_release_are_taken_over(db: Database) {
    let agent = db.agent().await;
    let live = db.credential(&agent, vaulted("secret/data/live", 1)).await;
    let moved = db.credential(&agent, digest("moved")).await;
    let (orphan, claimed) = (Uuid::new_v4(), Uuid::new_v4());
    db.old_job(agent.agent_id, live.credential_id, "secret/data/live", None).await;
    db.old_job(agent.agent_id, moved.credential_id, "secret/data/moved", None).await;
    db.old_job(agent.agent_id, orphan, "secret/data/orphan", None).await;
    db.old_job(agent.agent_id, claimed, "secret/data/claimed", Some(later(60))).await;
    let due = async |at| -> Vec<Uuid> {
        let due = db.repos.changes.due(at, 10).await.unwrap();
        due.into_iter().map(|(_, credential)| credential).collect()
    };
    assert_eq!(due(now()).await, [orphan]);
    assert_eq!(due(later(179)).await, [orphan], "a claim counts for two minutes more: its DELETE may be late");
    assert_eq!(due(later(180)).await.len(), 2);
    let kept = rows::entry(&db.repos, agent.agent_id, moved.credential_id).await.note.unwrap();
    assert_eq!(kept.debts.iter().map(|debt| debt.kind).collect::<Vec<_>>(), [DebtKind::Rest]);
    assert_eq!(rows::entry(&db.repos, agent.agent_id, live.credential_id).await.note, None);
}

/// Also when its time is over: what it has asked Vault for may still happen.
async fn a_claim_of_an_older_release_refuses_writes_and_commits_at_its_place(db: Database) {
    let agent = db.agent().await;
    let before = db.credential(&agent, digest("a")).await;
    let after = Credential { secret: vaulted("secret/data/b", 1), ..before.clone() };
    rows::open_write(&db.repos, &after, now()).await;
    let noted = rows::entry(&db.repos, agent.agent_id, before.credential_id).await.note.unwrap();
    db.old_job(agent.agent_id, before.credential_id, "secret/data/b", Some(later(60))).await;
    for at in [now(), later(179)] {
        let mut tx = db.repos.changes.begin().await.unwrap();
        tx.lock(agent.agent_id, before.credential_id).await.unwrap();
        tx.note(agent.agent_id, before.credential_id, &noted, at).await.unwrap_err();
        drop(tx);
        let mut tx = db.repos.changes.begin().await.unwrap();
        tx.lock(agent.agent_id, before.credential_id).await.unwrap();
        tx.replace(&after.to_row().unwrap()).await.unwrap_err();
    }
    let mut tx = db.repos.changes.begin().await.unwrap();
    tx.lock(agent.agent_id, before.credential_id).await.unwrap();
    tx.note(agent.agent_id, before.credential_id, &noted, later(180)).await.unwrap();
    tx.replace(&after.to_row().unwrap()).await.unwrap();
    assert!(tx.commit().await.is_ok());
}

async fn a_first_use_counts_for_the_revision_it_was_seen_in(db: Database) {
    let agent = db.agent().await;
    let row = db.credential(&agent, SecretColumns { awaits_use: true, ..digest("a") }).await;
    let seen = row.to_row().unwrap();
    let stale = Credential { secret: digest("b"), ..row.clone() }.to_row().unwrap();
    assert!(!db.repos.changes.used(&stale).await.unwrap());
    assert!(db.credential_now(&row).await.secret.awaits_use);
    assert!(db.repos.changes.used(&seen).await.unwrap());
    assert!(!db.credential_now(&row).await.secret.awaits_use);
    rows::put(&db.repos, &Credential { secret: digest("c"), ..row.clone() }).await;
    assert!(!db.repos.changes.used(&seen).await.unwrap());
    let told = db.events().await;
    assert!(told.iter().all(|event| event.action == AuditAction::AgentCreated));
}
