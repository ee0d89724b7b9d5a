//! Credentials.

use std::cmp::Reverse;
use std::sync::Arc;

use agentidp_server::domain::{AgentStatus, AuditAction, CredentialStatus, Page};
use agentidp_server::repo::{Authentication, InsertCredential, Revoke};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::*;

on_both!(
    a_credential_reads_back_equal_for_its_client_only,
    only_an_active_agent_gets_one,
    a_commit_redeems_its_open_write,
    without_its_open_write_there_is_no_commit,
    a_claim_of_an_older_release_has_the_commit_refused,
    compare_and_set_is_on_the_revision_whoever_writes,
    lists_are_newest_first_and_of_one_client,
    authentication_sees_what_may_be_used,
    a_rotation_replaces_record_and_expiry,
    a_rotation_of_what_has_changed_is_lost,
    of_racing_rotations_one_wins,
    a_revocation_says_what_became_of_it,
    a_rotation_never_survives_a_racing_revocation,
    nothing_changes_without_its_event,
);

async fn a_credential_reads_back_equal_for_its_client_only(db: Database) {
    let (agent, other) = (db.agent().await, db.agent().await);
    let nothing = SecretColumns::default().written_by(Uuid::new_v4());
    for secret in [digest("a"), vaulted("secret/data/a", 3), nothing] {
        let credential = Credential { expires_at: Some(later(60)), ..credential(agent.agent_id, secret) };
        let event = event(AuditAction::CredentialGenerated, agent.agent_id);
        db.open_write(&credential).await;
        let inserted = db.repos.credentials.insert(&credential, &event).await.unwrap();
        assert_eq!(inserted, InsertCredential::Inserted);
        assert_eq!(db.credential_now(&credential).await, credential);
        assert_eq!(db.repos.credentials.find(other.agent_id, credential.credential_id).await.unwrap(), None);
        assert!(db.events().await.contains(&event));
    }
}

async fn only_an_active_agent_gets_one(db: Database) {
    for status in [AgentStatus::Suspended, AgentStatus::Decommissioned] {
        let agent = db.agent().await;
        let updated = event(AuditAction::AgentUpdated, agent.agent_id);
        db.repos.agents.replace(&agent, &changed(&agent, status), &updated, &origin()).await.unwrap();
        assert_eq!(insert_one(&db, agent.agent_id).await, InsertCredential::AgentNotActive);
    }
    assert_eq!(insert_one(&db, Uuid::new_v4()).await, InsertCredential::AgentNotActive);
    assert!(db.events().await.iter().all(|event| event.action != AuditAction::CredentialGenerated));
}

async fn insert_one(db: &Database, client_id: Uuid) -> InsertCredential {
    let event = event(AuditAction::CredentialGenerated, client_id);
    db.repos.credentials.insert(&credential(client_id, digest("a")), &event).await.unwrap()
}

/// What has become of the open write when the commit comes.
#[derive(Clone, Copy)]
enum Write {
    Open,
    OfAnotherAttempt,
    UnderAnOldClaim,
    None,
}

impl Write {
    async fn prepare(self, db: &Database, after: &Credential) {
        match self {
            Self::Open => db.open_write(after).await,
            Self::OfAnotherAttempt => {
                let secret = after.secret.clone().written_by(Uuid::new_v4());
                db.open_write(&Credential { secret, ..after.clone() }).await;
            }
            Self::UnderAnOldClaim => {
                db.open_write(after).await;
                let (credential, client) = (after.credential_id, after.client_id);
                db.old_job(client, credential, after.secret.vault_path.as_ref().unwrap(), Some(later(60))).await;
            }
            Self::None => {}
        }
    }
}

/// Commits a place in Vault for the first time, each in its way; says whether it was committed.
async fn commit_each_way(db: &Database, write: Write) -> [bool; 3] {
    let agent = db.agent().await;
    let created = credential(agent.agent_id, vaulted("secret/data/a", 1));
    write.prepare(db, &created).await;
    let generated = event(AuditAction::CredentialGenerated, agent.agent_id);
    let inserted = db.repos.credentials.insert(&created, &generated).await.unwrap() == InsertCredential::Inserted;
    let found = db.repos.credentials.find(agent.agent_id, created.credential_id).await.unwrap();
    assert_eq!(found.is_some(), inserted);

    let mut committed = [inserted, false, false];
    for (way, moved) in committed.iter_mut().enumerate().skip(1) {
        let before = db.credential(&agent, digest("b")).await;
        let after = Credential { secret: vaulted("secret/data/b", 1), ..before.clone() };
        write.prepare(db, &after).await;
        let rotated = event(AuditAction::CredentialRotated, agent.agent_id);
        *moved = if way == 1 {
            db.repos.credentials.rotate(&before, &after, &rotated).await.unwrap()
        } else {
            db.repos.credentials.upgrade(&before, &after).await.unwrap()
        };
        assert_eq!(db.credential_now(&before).await, if *moved { after } else { before });
    }
    committed
}

async fn a_commit_redeems_its_open_write(db: Database) {
    assert_eq!(commit_each_way(&db, Write::Open).await, [true; 3]);
    assert_eq!(db.repos.purges.pending().await.unwrap(), 0);
    assert!(db.repos.purges.due(later(3600), 10).await.unwrap().is_empty());
}

async fn without_its_open_write_there_is_no_commit(db: Database) {
    assert_eq!(commit_each_way(&db, Write::None).await, [false; 3]);
    assert_eq!(commit_each_way(&db, Write::OfAnotherAttempt).await, [false; 3]);
}

/// Also when its time is over: what it has asked Vault for may still happen.
async fn a_claim_of_an_older_release_has_the_commit_refused(db: Database) {
    assert_eq!(commit_each_way(&db, Write::UnderAnOldClaim).await, [false; 3]);
    let told = db.events().await;
    assert!(told.iter().all(|event| event.action != AuditAction::CredentialRotated));
}

async fn lists_are_newest_first_and_of_one_client(db: Database) {
    let (agent, other) = (db.agent().await, db.agent().await);
    db.credential(&other, digest("x")).await;
    let mut expected = Vec::new();
    for number in 0..5u64 {
        let credential = Credential { created_at: later(number / 2), ..credential(agent.agent_id, digest("a")) };
        let event = event(AuditAction::CredentialGenerated, agent.agent_id);
        db.repos.credentials.insert(&credential, &event).await.unwrap();
        expected.push(credential);
    }
    expected.sort_by_key(|credential| Reverse((credential.created_at, credential.credential_id)));
    let mut listed = Vec::new();
    for page in 1..=3 {
        let paged = db.repos.credentials.list(agent.agent_id, None, Page { page, limit: 2 }).await.unwrap();
        assert_eq!(paged.total, 5);
        listed.extend(paged.data);
    }
    assert_eq!(listed, expected);

    let revoked = event(AuditAction::CredentialRevoked, agent.agent_id);
    db.repos.credentials.revoke(agent.agent_id, listed[0].credential_id, later(9), &revoked).await.unwrap();
    for (status, total) in [(CredentialStatus::Active, 4), (CredentialStatus::Revoked, 1)] {
        let paged = db.repos.credentials.list(agent.agent_id, Some(status), ALL).await.unwrap();
        assert_eq!(paged.total, total);
        assert!(paged.data.iter().all(|credential| credential.status == status));
    }
}

async fn authentication_sees_what_may_be_used(db: Database) {
    assert!(db.repos.credentials.authenticate(Uuid::new_v4(), now()).await.unwrap().is_none());
    let agent = db.agent().await;
    let known = db.repos.credentials.authenticate(agent.agent_id, now()).await.unwrap().unwrap();
    assert_eq!((known.agent_status, known.credentials()), (AgentStatus::Active, 0));

    let mut usable = Vec::new();
    for (number, expires_at) in [(0, None), (1, Some(later(60))), (2, Some(later(61)))] {
        let secret = digest(&number.to_string());
        let credential = Credential { created_at: later(number), expires_at, ..credential(agent.agent_id, secret) };
        let event = event(AuditAction::CredentialGenerated, agent.agent_id);
        db.repos.credentials.insert(&credential, &event).await.unwrap();
        usable.insert(0, credential);
    }
    let ended = db.credential(&agent, digest("ended")).await;
    let revoked = event(AuditAction::CredentialRevoked, agent.agent_id);
    db.repos.credentials.revoke(agent.agent_id, ended.credential_id, now(), &revoked).await.unwrap();

    let at = async |at| db.repos.credentials.authenticate(agent.agent_id, at).await.unwrap().unwrap();
    let rows = |known: &Authentication| {
        (0..known.credentials()).filter_map(|place| known.credential(place)).collect::<Vec<_>>()
    };
    assert_eq!(rows(&*at(later(59)).await), usable);
    usable.retain(|credential| credential.expires_at != Some(later(60)));
    assert_eq!(rows(&*at(later(60)).await), usable, "it ends at its expiry, not after it");

    let updated = event(AuditAction::AgentSuspended, agent.agent_id);
    db.repos.agents.replace(&agent, &changed(&agent, AgentStatus::Suspended), &updated, &origin()).await.unwrap();
    let known = at(now()).await;
    assert_eq!((known.agent_status, known.credentials()), (AgentStatus::Suspended, 3));
}

async fn a_rotation_replaces_record_and_expiry(db: Database) {
    let agent = db.agent().await;
    let mut before = db.credential(&agent, digest("a")).await;
    for (secret, expires_at) in [
        (digest("b"), Some(later(5))),
        (vaulted("secret/data/a", 1), None),
        (vaulted("secret/data/a", 2), Some(later(6))),
    ] {
        let after = Credential { secret, expires_at, ..before.clone() };
        let event = event(AuditAction::CredentialRotated, agent.agent_id);
        db.open_write(&after).await;
        assert!(db.repos.credentials.rotate(&before, &after, &event).await.unwrap());
        assert_eq!(db.credential_now(&before).await, after);
        assert!(db.events().await.contains(&event));
        before = after;
    }
}

async fn a_rotation_of_what_has_changed_is_lost(db: Database) {
    let agent = db.agent().await;
    let row = db.credential(&agent, vaulted("secret/data/a", 2)).await;
    let rotate = async |secret: SecretColumns| {
        let before = Credential { secret, ..row.clone() };
        let after = Credential { secret: vaulted("secret/data/a", 9), ..row.clone() };
        let event = event(AuditAction::CredentialRotated, agent.agent_id);
        db.repos.credentials.rotate(&before, &after, &event).await.unwrap()
    };
    for stale in [vaulted("secret/data/a", 2), SecretColumns { revision: None, ..row.secret.clone() }] {
        assert!(!rotate(stale).await, "another write, and be it of the same record, has another revision");
    }
    assert_eq!(db.credential_now(&row).await, row);

    let revoked = event(AuditAction::CredentialRevoked, agent.agent_id);
    db.repos.credentials.revoke(agent.agent_id, row.credential_id, now(), &revoked).await.unwrap();
    assert!(!rotate(row.secret.clone()).await, "a revoked credential stays as it is");
    assert!(db.events().await.iter().all(|event| event.action != AuditAction::CredentialRotated));
    assert_eq!(db.repos.purges.pending().await.unwrap(), 1, "a lost rotation drops no purge");
}

/// An older release, or SQL by hand, sets no revision: a trigger does.
async fn compare_and_set_is_on_the_revision_whoever_writes(db: Database) {
    let agent = db.agent().await;
    let before = db.credential(&agent, digest("a")).await;
    let set = |hash: &str| {
        format!("UPDATE credentials SET secret_hash = '$2b$10${hash}' WHERE credential_id = '{}'", before.credential_id)
    };
    let mut seen = vec![before.secret.revision];
    for hash in ["b", "a"] {
        db.sql(&set(hash)).await.unwrap();
        let row = db.credential_now(&before).await;
        assert!(row.secret.revision.is_some() && !seen.contains(&row.secret.revision), "{hash}");
        seen.push(row.secret.revision);
    }
    let after = Credential { secret: digest("c"), ..before.clone() };
    let rotated = || event(AuditAction::CredentialRotated, agent.agent_id);
    assert!(
        !db.repos.credentials.rotate(&before, &after, &rotated()).await.unwrap(),
        "the same text is not the same write"
    );
    let now = db.credential_now(&before).await;
    assert!(db.repos.credentials.rotate(&now, &after, &rotated()).await.unwrap());

    // A row from before the column.
    let old = format!("UPDATE credentials SET revision = NULL WHERE credential_id = '{}'", before.credential_id);
    db.sql(&old).await.unwrap();
    let row = db.credential_now(&before).await;
    assert_eq!(row.secret.revision, None);
    let again = Credential { secret: digest("d"), ..row.clone() };
    assert!(db.repos.credentials.rotate(&row, &again, &rotated()).await.unwrap());
    assert!(!db.repos.credentials.rotate(&row, &again, &rotated()).await.unwrap());
}

async fn of_racing_rotations_one_wins(db: Database) {
    let agent = db.agent().await;
    let before = db.credential(&agent, digest("a")).await;
    let mut race = JoinSet::new();
    for number in 0..8 {
        let (credentials, before) = (Arc::clone(&db.repos.credentials), before.clone());
        race.spawn(async move {
            let after = Credential { secret: digest(&format!("after {number}")), ..before.clone() };
            let event = event(AuditAction::CredentialRotated, before.client_id);
            credentials.rotate(&before, &after, &event).await.unwrap().then_some(after)
        });
    }
    let winners: Vec<Credential> = race.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners, [db.credential_now(&before).await]);
}

async fn a_revocation_says_what_became_of_it(db: Database) {
    let (agent, other) = (db.agent().await, db.agent().await);
    let hashed = db.credential(&agent, digest("a")).await;
    let in_vault = db.credential(&agent, vaulted("secret/data/a", 4)).await;
    let revoke = async |client_id, credential_id| {
        let event = event(AuditAction::CredentialRevoked, client_id);
        db.repos.credentials.revoke(client_id, credential_id, later(1), &event).await.unwrap()
    };
    assert_eq!(revoke(other.agent_id, hashed.credential_id).await, Revoke::NotFound);
    assert_eq!(revoke(agent.agent_id, Uuid::new_v4()).await, Revoke::NotFound);
    assert_eq!(revoke(agent.agent_id, hashed.credential_id).await, Revoke::Revoked(Vec::new()));
    assert_eq!(revoke(agent.agent_id, hashed.credential_id).await, Revoke::AlreadyRevoked);
    let Revoke::Revoked(jobs) = revoke(agent.agent_id, in_vault.credential_id).await else { panic!("no job") };
    assert_eq!(jobs, [job_of(&in_vault, later(1)).unwrap()]);
    assert_eq!(db.repos.purges.due(later(1), 10).await.unwrap(), jobs);

    let revoked = |credential: &Credential| Credential {
        status: CredentialStatus::Revoked,
        revoked_at: Some(later(1)),
        ..credential.clone()
    };
    assert_eq!(db.credential_now(&hashed).await, revoked(&hashed));
    assert_eq!(db.credential_now(&in_vault).await, revoked(&in_vault));
    let told = db.events().await.into_iter().filter(|event| event.action == AuditAction::CredentialRevoked);
    assert_eq!(told.count(), 2);
}

/// Either order is fine, but the end is the same: revoked, with the path due that the row has in the end.
async fn a_rotation_never_survives_a_racing_revocation(db: Database) {
    let agent = db.agent().await;
    for _ in 0..10 {
        let before = db.credential(&agent, digest("a")).await;
        let after = Credential { secret: vaulted("secret/data/a", 1), ..before.clone() };
        db.open_write(&after).await;
        let rotated = event(AuditAction::CredentialRotated, agent.agent_id);
        let revoked = event(AuditAction::CredentialRevoked, agent.agent_id);
        let (rotation, revocation) = tokio::join!(
            db.repos.credentials.rotate(&before, &after, &rotated),
            db.repos.credentials.revoke(agent.agent_id, before.credential_id, now(), &revoked),
        );
        let Revoke::Revoked(jobs) = revocation.unwrap() else { panic!("not revoked") };
        rotation.unwrap();
        assert_eq!(jobs, [job_of(&after, now()).unwrap()], "whoever came first: something may be there");
        assert_eq!(db.credential_now(&before).await.status, CredentialStatus::Revoked);
        assert_eq!(db.repos.purges.pending().await.unwrap(), 1);
        db.purged(before.credential_id).await;
    }
}

async fn nothing_changes_without_its_event(db: Database) {
    let agent = db.agent().await;
    let fails = db.event_that_fails().await;
    let refused = credential(agent.agent_id, digest("a"));
    db.repos.credentials.insert(&refused, &fails).await.unwrap_err();
    assert_eq!(db.repos.credentials.find(agent.agent_id, refused.credential_id).await.unwrap(), None);

    let row = db.credential(&agent, vaulted("secret/data/a", 1)).await;
    let after = Credential { secret: vaulted("secret/data/a", 2), ..row.clone() };
    db.open_write(&after).await;
    db.repos.credentials.rotate(&row, &after, &fails).await.unwrap_err();
    db.repos.credentials.revoke(agent.agent_id, row.credential_id, now(), &fails).await.unwrap_err();
    assert_eq!(db.credential_now(&row).await, row);
    assert_eq!(db.repos.purges.pending().await.unwrap(), 0);
}
