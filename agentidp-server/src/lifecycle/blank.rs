//! Pushing the secrets out of a place that a credential has left.

use agentidp_secrets::{CredentialKey, Error, ErrorKind, Held, Operation};
use uuid::Uuid;

use super::write_lease::WriteLease;
use super::{key, vault_path};
use crate::app::App;
use crate::domain::{OpenWrite, OpenWriteKind, PurgeJob};
use crate::error::ApiError;

/// Versions that are written at the most. Vault keeps 10 unless set.
const MOST: u64 = 128;

/// Writes blank versions until none of the secrets is left that were there. Each is a compare-and-set on the one before it, so
/// a credential that moves back meanwhile ends this, and a blank version that arrives late hurts nothing.
///
/// # Errors
/// Of Vault, `Conflict` when another writes there, `Malformed` when the place is not one of this server's; then it has to be
/// tried again. Those of the database as `Err` of the outer one.
pub(super) async fn blank(app: &App, job: &PurgeJob) -> Result<Result<(), Error>, ApiError> {
    let key = key(job.client_id, job.credential_id)?;
    if vault_path(app, &key)?.as_ref() != Some(&job.vault_path) {
        return Ok(Err(refused(ErrorKind::Malformed, "the place is on another mount or prefix than this server's")));
    }
    let write = OpenWrite {
        credential_id: job.credential_id,
        client_id: job.client_id,
        kind: OpenWriteKind::Blank,
        vault_path: job.vault_path.clone(),
        base: 0,
        attempt: Uuid::new_v4(),
        digest: None,
    };
    let Some(lease) = WriteLease::try_open(app, write).await? else {
        return Ok(Err(refused(ErrorKind::Conflict, "another write of this credential is under way")));
    };
    // It may have moved back, and its commit may have been the last before ours. From here on none is.
    let blanked = match app.repos.credentials.find(job.client_id, job.credential_id).await {
        Ok(Some(row)) if row.secret.vault_path.as_ref() == Some(&job.vault_path) => {
            Ok(Err(refused(ErrorKind::Conflict, "the credential has moved back")))
        }
        Ok(_) => push_out(app, job, &key, &lease).await,
        Err(error) => Err(error.into()),
    };
    lease.close().await;
    blanked
}

async fn push_out(
    app: &App,
    job: &PurgeJob,
    key: &CredentialKey,
    lease: &WriteLease<'_>,
) -> Result<Result<(), Error>, ApiError> {
    let last = match last_to_push_out(app, key).await {
        Ok(Some(last)) => last,
        Ok(None) => return Ok(Ok(())),
        Err(error) => return Ok(Err(error)),
    };
    // Asked after the look: what such a server writes from now on makes the first compare-and-set fail.
    if app.repos.purges.is_moving_in(job).await? {
        return Ok(Err(refused(ErrorKind::Conflict, "a server of an older release is moving the credential back")));
    }
    if !lease.renew().await? {
        return Ok(Err(refused(ErrorKind::Conflict, "another write of this credential was begun meanwhile")));
    }
    Ok(write_blanks(app, key, last).await)
}

/// The latest version, if it or one below it holds a secret.
async fn last_to_push_out(app: &App, key: &CredentialKey) -> Result<Option<u64>, Error> {
    let Held::Version { version: last, secret, .. } = app.store.inspect(key, None).await? else { return Ok(None) };
    let holds = secret.is_some() || holds_secret(app, key, last).await?;
    Ok(holds.then_some(last))
}

async fn write_blanks(app: &App, key: &CredentialKey, last: u64) -> Result<(), Error> {
    for latest in last..last + MOST {
        app.store.blank(key, latest).await?;
        if matches!(app.store.inspect(key, Some(last)).await?, Held::Nothing) {
            return Ok(());
        }
    }
    Err(refused(ErrorKind::Conflict, "Vault keeps so many versions of the place that it cannot be blanked"))
}

/// Whether a version below a blank or deleted one still holds a secret.
async fn holds_secret(app: &App, key: &CredentialKey, latest: u64) -> Result<bool, Error> {
    for version in (latest.saturating_sub(MOST).max(1)..latest).rev() {
        match app.store.inspect(key, Some(version)).await? {
            Held::Nothing => return Ok(false),
            Held::Version { secret: Some(_), .. } => return Ok(true),
            Held::Version { .. } => {}
        }
    }
    Ok(false)
}

fn refused(kind: ErrorKind, why: &'static str) -> Error {
    Error::new(kind, why).with_operation(Operation::Revoke)
}
