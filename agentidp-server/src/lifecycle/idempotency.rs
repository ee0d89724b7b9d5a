//! Requests that may come again: what they made is found, never made twice.
//!
//! A request takes a claim on its key before it writes anything anywhere, and the transaction that makes its secret count
//! notes what it made. So of many retries at once one does the work. Whoever dies before the commit leaves a claim that
//! ends by itself; whoever lost the answer to the commit finds what it noted.
//!
//! A retry shows the secret again where it can be had again, from Vault. Where only a digest is left it is replaced by a
//! fresh one, as long as nobody has used the one that went astray: `awaits_use` of the row tells, which the first login
//! clears before it is answered.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::{Error, ErrorKind, Operation, StoredSecret};
use serde_json::json;
use tokio::time::{sleep, timeout};
use tracing::{Instrument, debug, warn};

use super::rotate::Rotation;
use super::settle::settled;
use super::{Actor, Shown, key};
use crate::app::App;
use crate::domain::idempotency::{Carried, Claim, KeyedRequest, record_sha256};
use crate::domain::{AuditAction, AuditEvent, Credential, CredentialStatus};
use crate::error::{ApiError, NotShownAgain};
use crate::repo::{Claimed, InsertCredential, Once};

/// How long a failed request waits for its key to be given back: a healthy database takes some milliseconds.
const ON_THE_SPOT: Duration = Duration::from_secs(2);

/// Between two tries to give it back.
const PAUSE: Duration = Duration::from_secs(1);

/// What a request is to do.
enum Begun {
    /// The work, under the claim if it has a key.
    First(Option<Claim>),
    /// Nothing but to answer: it has been carried out.
    Again(Claim, Carried),
}

/// Does `work`, under a claim if the request has a key, or answers a request that has been carried out.
///
/// # Errors
/// Those of `work`; then the claim is given back. `IDEMPOTENCY_KEY_IN_USE`, `IDEMPOTENCY_KEY_REUSED`, and those of [`again`].
pub(super) async fn once<W: Future<Output = Result<Shown, ApiError>>>(
    app: &Arc<App>,
    actor: &Actor,
    request: Option<KeyedRequest>,
    work: impl FnOnce(Option<Claim>) -> W,
) -> Result<Shown, ApiError> {
    match begin(app, request).await? {
        Begun::Again(claim, carried) => again(app, actor, &claim, carried).await,
        Begun::First(claim) => {
            let outcome = work(claim.clone()).await;
            end(app, claim.as_ref(), outcome).await
        }
    }
}

/// Takes the claim of a request that has a key.
async fn begin(app: &App, request: Option<KeyedRequest>) -> Result<Begun, ApiError> {
    let Some(request) = request else { return Ok(Begun::First(None)) };
    let now = app.now();
    let claim = Claim::new(request, now);
    match app.repos.idempotency.claim(&claim, now).await? {
        Claimed::Ours => Ok(Begun::First(Some(claim))),
        Claimed::Taken => Err(ApiError::IdempotencyKeyInUse),
        Claimed::Reused => Err(ApiError::IdempotencyKeyReused),
        Claimed::Done(carried) => Ok(Begun::Again(claim, carried)),
    }
}

/// Gives the claim of a failed request back, if need be later: what made the request fail may be in its way, too.
async fn end(app: &Arc<App>, claim: Option<&Claim>, outcome: Result<Shown, ApiError>) -> Result<Shown, ApiError> {
    if let (Some(claim), Err(_)) = (claim, &outcome) {
        let release = tokio::spawn(release(Arc::clone(app), claim.clone()).in_current_span());
        if timeout(ON_THE_SPOT, release).await.is_err() {
            warn!("an idempotency key is still taken: its request failed, and it is given back in the background");
        }
    }
    outcome
}

/// Tries until the claim is over, and nothing has to be given back any more.
async fn release(app: Arc<App>, claim: Claim) {
    while app.now() < claim.until {
        match app.repos.idempotency.release(&claim).await {
            Ok(()) => return,
            Err(error) => debug!(%error, "an idempotency key could not be given back: trying again"),
        }
        sleep(PAUSE).await;
    }
}

/// Commits a new credential, under the claim if there is one.
pub(super) async fn insert(
    app: &App,
    claim: Option<&Claim>,
    credential: &Credential,
    event: &AuditEvent,
) -> Result<InsertCredential, ApiError> {
    let Some(claim) = claim else { return Ok(app.repos.credentials.insert(credential, event).await?) };
    in_time(app.repos.idempotency.insert(claim, credential, event).await?)
}

/// Commits a rotation, under the claim if there is one.
pub(super) async fn rotate(
    app: &App,
    claim: Option<&Claim>,
    before: &Credential,
    after: &Credential,
    event: &AuditEvent,
) -> Result<bool, ApiError> {
    let Some(claim) = claim else { return Ok(app.repos.credentials.rotate(before, after, event).await?) };
    in_time(app.repos.idempotency.rotate(claim, before, after, event).await?)
}

fn in_time<T>(commit: Once<T>) -> Result<T, ApiError> {
    match commit {
        Once::Decided(outcome) => Ok(outcome),
        // Another has taken over, and it is theirs to answer.
        Once::TooLate => Err(ApiError::IdempotencyKeyInUse),
    }
}

/// Answers a request that has been carried out, as it was answered then if that can be.
///
/// # Errors
/// `IDEMPOTENCY_SECRET_NOT_SHOWN` when the secret cannot be had again, nor replaced; `VAULT_READ_ERROR`;
/// `INTERNAL_SERVER_ERROR`. Nothing has changed then.
async fn again(app: &App, actor: &Actor, claim: &Claim, carried: Carried) -> Result<Shown, ApiError> {
    let (client_id, credential_id) = (carried.client_id, carried.credential_id);
    let not_shown = |why| ApiError::NotShownAgain { credential_id, why };
    let row = app.repos.credentials.find(client_id, credential_id).await?;
    let Some(row) = row.filter(|row| row.status == CredentialStatus::Active) else {
        return Err(not_shown(NotShownAgain::Revoked));
    };
    let record = row.secret.to_record().ok().filter(|record| record_sha256(record) == carried.record_sha256);
    let Some(record) = record else {
        // Another retry may have replaced it between our two looks.
        return match app.repos.idempotency.claim(claim, app.now()).await? {
            Claimed::Done(now) if now == carried => Err(not_shown(NotShownAgain::Changed)),
            _ => Err(ApiError::IdempotencyKeyInUse),
        };
    };
    if row.secret.vault_path.is_some() {
        return read_back(app, row, &record).await;
    }
    if !row.secret.awaits_use {
        return Err(not_shown(NotShownAgain::Used));
    }
    replace(app, actor, claim, row).await
}

async fn read_back(app: &App, row: Credential, record: &StoredSecret) -> Result<Shown, ApiError> {
    let key = key(row.client_id, row.credential_id)?;
    let Some(vault) = &app.vault_client else {
        let error = Error::new(ErrorKind::UnknownBackend, "the secret is in Vault, and VAULT_ADDR is not set");
        return Err(ApiError::vault(error.with_operation(Operation::Verify).with_backend(record.backend().clone())));
    };
    let secret = vault.read_secret(&key, record).await.map_err(ApiError::vault)?;
    Ok(Shown { credential: row, secret, replayed: true })
}

/// Puts a fresh secret in place of one that nobody has used.
async fn replace(app: &App, actor: &Actor, claim: &Claim, before: Credential) -> Result<Shown, ApiError> {
    let rotation = Rotation::of(app, before.client_id, before.credential_id)?;
    let Some(written) = rotation.write().await? else { return Err(ApiError::IdempotencyKeyInUse) };
    if written.before != before {
        written.give_up().await;
        return Err(ApiError::IdempotencyKeyInUse);
    }
    let (secret, columns, lease) = written.into_parts(true)?;
    let after = Credential { secret: columns, ..before.clone() };
    let about = json!({
        "credentialId": before.credential_id, "expiresAt": before.expires_at, "idempotentReplay": true,
    });
    let event = actor.event(AuditAction::CredentialRotated, before.client_id, about, app.now());
    let commit = app.repos.idempotency.replace(claim, &before, &after, &event).await;
    if settled(app, &after, lease.as_ref(), commit).await? {
        return Ok(Shown { credential: after, secret, replayed: true });
    }
    // Another retry, a login or a change was faster: the next try finds out which.
    Err(ApiError::IdempotencyKeyInUse)
}
