//! The library's comparison of the rows with Vault, in an operator's words.

use agentidp_secrets::Error;
use agentidp_secrets::lifecycle::Failure;
use agentidp_secrets::lifecycle::compare::{Comparison, Counts};
use agentidp_secrets::vault::VaultKv2;

use crate::app::App;
use crate::error::ApiError;
use crate::repo::{RepoError, Waiting};

pub use agentidp_secrets::lifecycle::compare::{Difference as Drift, DifferenceKind as DriftClass, Mode};

/// What came of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Summary {
    /// Differences by kind.
    pub found: Counts,
    /// Jobs that were due when it began, and others.
    pub waiting: Waiting,
    /// Jobs that are due in the end: those that failed, or that another server is at.
    pub left: u64,
    /// Why paths were not compared with rows; none where they were.
    pub unlisted: Option<Error>,
}

/// Why the comparison came to no end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconcileError {
    /// Without Vault there is nothing to compare.
    #[error("VAULT_ADDR is not set: there is no Vault to compare the rows with")]
    NoVault,
    /// Vault could not be asked.
    #[error("Vault could not be asked, so nothing is known of the rest: {0}")]
    Vault(#[source] Error),
    /// The database could not be asked.
    #[error("{0}")]
    Database(#[from] RepoError),
    /// A row could not be changed.
    #[error("{0}")]
    Row(#[source] Failure<ApiError>),
}

impl From<Failure<ApiError>> for ReconcileError {
    fn from(failure: Failure<ApiError>) -> Self {
        match failure {
            Failure::Backend(error) => Self::Vault(error),
            failure => Self::Row(failure),
        }
    }
}

/// Compares once, and tells each difference as it is found.
///
/// # Errors
/// [`ReconcileError`]; what was done until then stays.
pub async fn pass(app: &App, mode: Mode, tell: &mut (dyn FnMut(&Drift) + Send)) -> Result<Summary, ReconcileError> {
    let vault = vault(app)?;
    let waiting = app.repos.drift.waiting(app.now()).await?;
    let Comparison { found, unlisted, .. } = app.life().compare(vault, mode, tell).await?;
    let left = app.repos.drift.waiting(app.now()).await?.due;
    Ok(Summary { found, waiting, left, unlisted })
}

/// The Vault to compare with.
///
/// # Errors
/// [`ReconcileError::NoVault`].
pub fn vault(app: &App) -> Result<&VaultKv2, ReconcileError> {
    app.vault_client.as_ref().ok_or(ReconcileError::NoVault)
}

/// The line of a difference, with what to type. Not for a log: it may name a path.
#[must_use]
pub fn line(app: &App, drift: &Drift) -> String {
    let hint = match drift.kind {
        DriftClass::PathWithoutRow => " (`agentidp-server reconcile --remove-paths` removes it)".to_owned(),
        DriftClass::VersionBehind | DriftClass::PathNotPointedTo => {
            " (`agentidp-server restored` settles it)".to_owned()
        }
        DriftClass::Elsewhere => " (VAULT_KV_MOUNT and VAULT_PREFIX)".to_owned(),
        DriftClass::SoftDeleted => undelete(app, drift).unwrap_or_default(),
        _ => String::new(),
    };
    format!("{drift}{hint}")
}

fn undelete(app: &App, drift: &Drift) -> Option<String> {
    let (place, version) = (app.vault.as_ref()?, drift.pinned?);
    let (mount, prefix, client, credential) = (&place.mount, &place.prefix, &drift.client_id, &drift.credential_id);
    let path = format!("{prefix}/agents/{client}/credentials/{credential}");
    Some(format!(": `bao kv undelete -mount={mount} -versions={version} {path}`"))
}
