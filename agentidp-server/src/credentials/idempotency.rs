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

use agentidp_secrets::lifecycle::Failure;
use agentidp_secrets::{Error, ErrorKind, Operation};
use tokio::time::{sleep, timeout};
use tracing::{Instrument, debug, warn};

use super::actor::Actor;
use super::change::Made;
use super::shown::Shown;
use crate::app::App;
use crate::domain::idempotency::{Carried, Claim, KeyedRequest, record_sha256};
use crate::domain::{AuditAction, Credential, CredentialStatus, key};
use crate::error::{ApiError, NotShownAgain};
use crate::repo::Claimed;

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
pub(super) async fn once(
    app: &Arc<App>,
    actor: &Actor,
    request: Option<KeyedRequest>,
    work: impl AsyncFnOnce(Option<Claim>) -> Result<Shown, ApiError>,
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
    let has_it = row.secret.to_record().is_ok_and(|record| record_sha256(&record) == carried.record_sha256);
    if !has_it {
        // Another retry may have replaced it between our two looks.
        return match app.repos.idempotency.claim(claim, app.now()).await? {
            Claimed::Done(now) if now == carried => Err(not_shown(NotShownAgain::Changed)),
            _ => Err(ApiError::IdempotencyKeyInUse),
        };
    };
    if row.secret.vault_path.is_some() {
        return read_back(app, row).await;
    }
    if !row.secret.awaits_use {
        return Err(not_shown(NotShownAgain::Used));
    }
    replace(app, actor, claim, row).await
}

async fn read_back(app: &App, credential: Credential) -> Result<Shown, ApiError> {
    let row = credential.to_row().map_err(ApiError::internal)?;
    match app.life().reveal(&row.key, row.revision).await? {
        Some(shown) => Ok(Shown { credential, secret: shown.secret, replayed: true }),
        None => {
            let record = credential.secret.to_record().map_err(ApiError::internal)?;
            let error = Error::new(ErrorKind::NotFound, "Vault no longer holds the secret: rotate the credential");
            Err(ApiError::vault(error.with_operation(Operation::Verify).with_backend(record.backend().clone())))
        }
    }
}

/// Puts a fresh secret in place of one that nobody has used. Where another retry, a login or a change was faster, the next try finds
/// out which.
async fn replace(app: &App, actor: &Actor, claim: &Claim, before: Credential) -> Result<Shown, ApiError> {
    let key = key(before.client_id, before.credential_id).map_err(ApiError::internal)?;
    let made = Made::new(app, actor, AuditAction::CredentialRotated).under(Some(claim.clone())).instead_of(before);
    match app.life().replace_unused(&key, made.clone()).await {
        Ok(shown) => made.shown(shown.secret),
        Err(Failure::Busy | Failure::Ended | Failure::NotFound) => Err(ApiError::IdempotencyKeyInUse),
        Err(failure) => Err(failure.into()),
    }
}
