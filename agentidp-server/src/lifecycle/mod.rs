//! What changes both the database and Vault, step by step.
//!
//! Two stores have no common transaction, so the order of the steps keeps each moment safe: a crash, an outage or a
//! lost race between two steps leaves either the old state or work that is done later.
//!
//! | sequence | steps |
//! |---|---|
//! | `create` | open the write → write to Vault → commit the row, which redeems the open write → show |
//! | `rotate` | open the write, with a digest of the new secret → write the next version → commit it where the row is unchanged → show. The row pins its version, so the old secret works until the commit |
//! | `rotate` of a bare path | open → read the latest version → commit its number → as above |
//! | `rotate`, and `upgrade` at a login, of a credential that moves to Vault | open, without a digest → write over whatever lies there → commit |
//! | `revoke`, `change_agent` | commit the end and the deletion of each place in one transaction → one attempt to delete → answer |
//! | [`purge()`] | claim the job → Vault forgets → the job is repeated three times, in case a write arrives late |
//!
//! At most one write a credential is open, and others wait for it. What its holder leaves when it dies is taken over: a version
//! right on top of the one that the row pins, whose secret has a noted digest, was generated and never shown; it is committed
//! as the new secret, so that no number of failed commits evicts the one that counts. Anything else is written over by
//! compare-and-set. Only the place of a credential that has ended, or was never committed, is deleted: nothing that arrives
//! late can hurt a credential that counts. What a credential that moved away leaves is pushed out by blank versions.
//!
//! A request with an `Idempotency-Key` takes a claim ahead of all that and notes in the commit what it made: `idempotency`.
//!
//! A secret is shown after its commit and never before. Each sequence runs in a task of its own, so that a client that
//! hangs up cannot cut it between two steps.

mod actor;
mod agent;
mod authenticate;
mod blank;
mod create;
mod fail_point;
mod idempotency;
mod pin;
mod purge;
mod revoke;
mod rotate;
mod settle;
mod upgrade;
mod window;
mod write_lease;
mod writing;

use agentidp_secrets::vault::VaultPath;
use agentidp_secrets::{ClientSecret, CredentialKey};
use tracing::Instrument;
use uuid::Uuid;

use crate::app::App;
use crate::domain::Credential;
use crate::error::ApiError;

pub(crate) use actor::Actor;
pub(crate) use agent::change_agent;
pub(crate) use authenticate::{Authenticator, Decision, Proof};
pub(crate) use create::create;
pub(crate) use pin::finish_repair;
pub use purge::purge;
pub(crate) use revoke::revoke;
pub(crate) use rotate::rotate;
pub use upgrade::Upgrades;

/// How often a sequence starts over because somebody else changed the same row meanwhile. Each loss is another's gain,
/// so it takes that many others at once to use them up.
const ATTEMPTS: usize = 5;

/// A credential whose secret may be shown, because its row is committed.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) credential: Credential,
    pub(crate) secret: ClientSecret,
    /// The request had been carried out before.
    pub(crate) replayed: bool,
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

/// Where a credential's secret is in Vault, without a version; none in bcrypt mode.
pub(crate) fn vault_path(app: &App, key: &CredentialKey) -> Result<Option<String>, ApiError> {
    let Some(place) = &app.vault else { return Ok(None) };
    let path = VaultPath::for_key(&place.mount, &place.prefix, key).map_err(ApiError::internal)?;
    Ok(Some(path.to_string()))
}

pub(crate) fn key(client_id: Uuid, credential_id: Uuid) -> Result<CredentialKey, ApiError> {
    CredentialKey::parse(&client_id.to_string(), &credential_id.to_string()).map_err(ApiError::internal)
}
