//! Rows and notes, written as somebody else does: another server, one of an older release, an operator.

use std::time::{Duration, SystemTime};

use agentidp_secrets::lifecycle::{
    CommitError, Debt, DebtKind, Entry, Note, OpenWrite, OpenWriteKind, Revision, State,
};
use agentidp_secrets::{BackendId, StoredSecret};
use agentidp_server::domain::{Credential, CredentialStatus, Timestamp};
use agentidp_server::repo::{ChangeTx, Repos};
use uuid::Uuid;

/// Writes a whole row, in place of whatever there is.
pub(crate) async fn put(repos: &Repos, row: &Credential) {
    let mut tx = repos.changes.begin().await.unwrap();
    let found = tx.lock(row.client_id, row.credential_id).await.unwrap().state;
    let written = row.to_row().unwrap();
    if found == State::Absent {
        tx.insert(&written, row.created_at).await.unwrap();
    }
    tx.replace(&written).await.unwrap();
    tx.finish(row.client_id, row.credential_id, row.expires_at, row.secret.awaits_use).await.unwrap();
    if row.status == CredentialStatus::Revoked {
        tx.end(row.client_id, row.credential_id, row.revoked_at.unwrap()).await.unwrap();
    }
    commit(tx).await;
}

/// Writes a whole row in place of `before`, with what it then owes at the place that it leaves.
pub(crate) async fn replace(repos: &Repos, before: &Credential, after: &Credential, now: Timestamp) {
    put(repos, after).await;
    let left = before.secret.vault_path.as_deref().filter(|path| after.secret.vault_path.as_deref() != Some(path));
    let Some(left) = left else { return };
    note(repos, after.client_id, after.credential_id, now, |note| note.debts.push(debt(DebtKind::Blank, left, now)))
        .await;
}

/// What is noted of a credential, with its row.
pub(crate) async fn entry(repos: &Repos, client_id: Uuid, credential_id: Uuid) -> Entry {
    repos.changes.begin().await.unwrap().lock(client_id, credential_id).await.unwrap()
}

/// Changes what is noted of a credential.
pub(crate) async fn note(
    repos: &Repos,
    client_id: Uuid,
    credential_id: Uuid,
    now: Timestamp,
    change: impl Fn(&mut Note),
) {
    let mut tx = repos.changes.begin().await.unwrap();
    let mut note = tx.lock(client_id, credential_id).await.unwrap().note.unwrap_or_default();
    change(&mut note);
    tx.note(client_id, credential_id, &note, now).await.unwrap();
    commit(tx).await;
}

/// Notes the open write that a commit of this row would redeem, if it has a place in Vault.
pub(crate) async fn open_write(repos: &Repos, row: &Credential, now: Timestamp) {
    let Some(path) = &row.secret.vault_path else { return };
    let is_new = entry(repos, row.client_id, row.credential_id).await.state == State::Absent;
    let open = OpenWrite {
        kind: if is_new { OpenWriteKind::Create } else { OpenWriteKind::Move },
        place: place(path),
        base: 0,
        attempt: Revision::from_bytes(row.secret.revision.unwrap().into_bytes()),
        digests: Vec::new(),
        lease_until: SystemTime::from(now) + Duration::from_secs(30),
    };
    note(repos, row.client_id, row.credential_id, now, |note| note.open = Some(open.clone())).await;
}

/// A debt that is due.
pub(crate) fn debt(kind: DebtKind, path: &str, due: Timestamp) -> Debt {
    Debt { place: place(path), kind, due: due.into(), claimed_until: None, attempts: 0, deletions: 0 }
}

pub(crate) fn place(path: &str) -> StoredSecret {
    StoredSecret::new(BackendId::VAULT_KV2, path)
}

async fn commit(tx: Box<dyn ChangeTx>) {
    match tx.commit().await {
        Ok(()) => {}
        Err(CommitError::NotDone(error) | CommitError::Unknown(error)) => panic!("{error:?}"),
    }
}
