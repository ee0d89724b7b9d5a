//! What changes credentials and agents: the library's sequences, with what this server writes in the same transaction.
//!
//! The protocol itself, with each sequence's steps, is [`agentidp_secrets::lifecycle`]. Here is its ledger over this
//! server's tables, and the rules that are HTTP's: who is asked for, what the audit trail tells, and requests with an
//! `Idempotency-Key`, which take a claim ahead of all that and note in the commit what they made.

mod actor;
mod agent;
mod change;
mod idempotency;
mod ledger;

use std::sync::Arc;

use agentidp_secrets::ClientSecret;
use agentidp_secrets::lifecycle::{Failure, Lifecycle};
use serde_json::json;
use tracing::Instrument;
use uuid::Uuid;

use crate::app::App;
use crate::domain::idempotency::KeyedRequest;
use crate::domain::{AuditAction, Credential, Timestamp, key};
use crate::error::ApiError;

pub(crate) use actor::Actor;
pub(crate) use agent::change_agent;
pub use ledger::Database;
pub(crate) use ledger::life;

use self::change::{Ended, Made};

/// How often a change starts over because somebody else changed the same row meanwhile. Each loss is another's gain, so it
/// takes that many others at once to use them up.
const ATTEMPTS: usize = 5;

/// The library's lifecycle over this server's database.
pub type Life = Lifecycle<Database>;

/// A credential whose secret may be shown, because its row is committed.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) credential: Credential,
    pub(crate) secret: ClientSecret,
    /// The request had been carried out before.
    pub(crate) replayed: bool,
}

/// Generates a credential for an active agent.
///
/// # Errors
/// `AGENT_NOT_ACTIVE`, `VAULT_WRITE_ERROR`, `SERVICE_UNAVAILABLE` when it took so long that the place was deleted,
/// `INTERNAL_SERVER_ERROR`; then no credential exists and nothing was shown. Those of `idempotency` where the request has a
/// key.
pub(crate) async fn create(
    app: Arc<App>,
    actor: Actor,
    client_id: Uuid,
    expires_at: Option<Timestamp>,
    request: Option<KeyedRequest>,
) -> Result<Shown, ApiError> {
    uncut(async move {
        let (app, actor) = (&app, &actor);
        idempotency::once(app, actor, request, async |claim| {
            let key = key(client_id, Uuid::new_v4()).map_err(ApiError::internal)?;
            let made = Made::new(app, actor, AuditAction::CredentialGenerated).of_agent(client_id);
            let made = made.expiring(expires_at).under(claim);
            let shown = app.life().issue(&key, made.clone()).await?;
            made.shown(shown.secret)
        })
        .await
    })
    .await
}

/// Replaces a credential's secret; a digest moves to Vault by this where Vault is configured. Without a new expiry a
/// future one stays and a past one is cleared.
///
/// # Errors
/// `CREDENTIAL_NOT_FOUND`, `CREDENTIAL_ALREADY_REVOKED` (also when the revocation came in between), `VAULT_WRITE_ERROR`,
/// `SERVICE_UNAVAILABLE` when another rotation of the credential lasts longer than 5 s, `INTERNAL_SERVER_ERROR`; then the old
/// secret stays valid and nothing was shown. Those of `idempotency` where the request has a key.
pub(crate) async fn rotate(
    app: Arc<App>,
    actor: Actor,
    client_id: Uuid,
    credential_id: Uuid,
    options: Rotation,
    request: Option<KeyedRequest>,
) -> Result<Shown, ApiError> {
    uncut(async move {
        let (app, actor) = (&app, &actor);
        let key = key(client_id, credential_id).map_err(ApiError::internal)?;
        idempotency::once(app, actor, request, async |claim| {
            let made = Made::new(app, actor, AuditAction::CredentialRotated).expiring(options.expires_at).under(claim);
            let shown = app.life().rotate(&key, options.overlap, made.clone()).await?;
            made.shown(shown.secret)
        })
        .await
    })
    .await
}

/// How a secret is replaced.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rotation {
    /// A new end of the credential.
    pub(crate) expires_at: Option<Timestamp>,
    /// How long the secret before works beside the new one.
    pub(crate) overlap: std::time::Duration,
}

/// Revokes a credential. It takes effect with the commit, whatever Vault does; a healthy Vault has forgotten the secret
/// when this returns, another one is asked again until it has.
///
/// # Errors
/// `CREDENTIAL_NOT_FOUND`, `CREDENTIAL_ALREADY_REVOKED`, `INTERNAL_SERVER_ERROR`.
pub(crate) async fn revoke(app: Arc<App>, actor: Actor, client_id: Uuid, credential_id: Uuid) -> Result<(), ApiError> {
    let key = key(client_id, credential_id).map_err(ApiError::internal)?;
    let about = json!({ "credentialId": credential_id });
    let event = actor.event(AuditAction::CredentialRevoked, client_id, about, app.now());
    Ok(app.life().end(&key, Ended(event)).await?)
}

/// Ends the overlap of a rotation early.
///
/// # Errors
/// `CREDENTIAL_NOT_FOUND`, `CREDENTIAL_ALREADY_REVOKED`, `NO_PREVIOUS_SECRET`, `INTERNAL_SERVER_ERROR`.
pub(crate) async fn end_previous(
    app: Arc<App>,
    actor: Actor,
    client_id: Uuid,
    credential_id: Uuid,
) -> Result<(), ApiError> {
    let key = key(client_id, credential_id).map_err(ApiError::internal)?;
    let about = json!({ "credentialId": credential_id, "ended": "previous" });
    let event = actor.event(AuditAction::CredentialRotated, client_id, about, app.now());
    Ok(app.life().end_previous(&key, Ended(event)).await?)
}

/// Runs a sequence to its end, also when nobody waits for it any more.
async fn uncut<T: Send + 'static>(
    sequence: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::spawn(sequence.in_current_span()).await {
        Ok(outcome) => outcome,
        Err(ended) => Err(ApiError::internal(ended)),
    }
}

impl From<Failure<ApiError>> for ApiError {
    fn from(failure: Failure<Self>) -> Self {
        match failure {
            Failure::NotFound => Self::CredentialNotFound,
            Failure::Ended => Self::CredentialAlreadyRevoked,
            Failure::NoPrevious => Self::NoPreviousSecret,
            Failure::Busy => Self::Busy(None),
            Failure::Backend(error) => Self::vault(error),
            Failure::Ledger(error) | Failure::Unknown(error) => error,
            other => Self::internal(other.to_string()),
        }
    }
}
