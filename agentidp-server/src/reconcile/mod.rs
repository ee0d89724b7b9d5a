//! Comparing the rows with Vault, and mending what can be mended.
//!
//! What a crash leaves is in the database: purges that are due, and intents whose commit never came. They are carried out
//! first. Then each row is looked up in Vault and, where the token may list, each path in the rows. What differs is a
//! [`Drift`], which says what an operator has to do.
//!
//! A path without a row is reported and never deleted here: it may be of another database. An operator removes such paths
//! with a command of their own, [`remove_paths`]. So this may run in several places at once, be cut at any point, and run
//! again: a second time there is nothing left to change.

mod drift;
mod listing;
mod remove;

use agentidp_secrets::vault::VaultKv2;
use agentidp_secrets::vault::inventory::RecordState;
use agentidp_secrets::{Error, ErrorKind};
use futures_util::future::join_all;

use crate::app::{App, VaultPlace};
use crate::domain::{Credential, CredentialStatus, key};
use crate::repo::{RepoError, Waiting};

pub use drift::{Counts, Drift, DriftClass};
pub use remove::{MOST_PATHS, remove_paths};

/// Rows, and names of a listing, in memory at a time. A thousand names make an answer of 40 KB.
const PAGE: u16 = 1000;

/// Rows that are looked up at a time: more in flight only wait in Vault.
const AT_A_TIME: usize = 8;

/// Whether a comparison changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "one or the other")]
pub enum Mode {
    /// Purges that are due are carried out.
    Repair,
    /// Nothing is changed.
    DryRun,
}

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
}

/// Compares once, and tells each difference as it is found.
///
/// # Errors
/// [`ReconcileError`]; what was done until then stays.
pub async fn pass(
    app: &App,
    mode: Mode,
    tell: &mut (dyn FnMut(&Drift) + Send + Sync),
) -> Result<Summary, ReconcileError> {
    let (Some(vault), Some(place)) = (&app.vault_client, &app.vault) else { return Err(ReconcileError::NoVault) };
    let mut pass = Pass { app, vault, place, tell, found: Counts::default() };
    let waiting = app.repos.drift.waiting(app.now()).await?;
    if mode == Mode::Repair {
        pass.purge_due().await;
    }
    pass.compare_rows().await?;
    let unlisted = pass.compare_paths().await?;
    let left = app.repos.drift.waiting(app.now()).await?.due;
    Ok(Summary { found: pass.found, waiting, left, unlisted })
}

struct Pass<'a> {
    app: &'a App,
    vault: &'a VaultKv2,
    place: &'a VaultPlace,
    tell: &'a mut (dyn FnMut(&Drift) + Send + Sync),
    found: Counts,
}

impl Pass<'_> {
    fn found(&mut self, drift: &Drift) {
        self.found.add(drift.class);
        (self.tell)(drift);
    }

    /// What a crash left, as far as its time has come.
    async fn purge_due(&self) {
        // What meets a closed gate stays due, as does what fails: it is put off.
        while self.app.gate.may_delete() && self.app.life().round().await.forgotten > 0 {}
    }

    async fn compare_rows(&mut self) -> Result<(), ReconcileError> {
        let mut after = None;
        loop {
            let mut rows = self.app.repos.drift.page(after, u32::from(PAGE)).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.credential_id);
            rows.retain(|row| row.secret.vault_path.is_some());
            for part in rows.chunks(AT_A_TIME) {
                for drift in join_all(part.iter().map(|row| self.look_up(row))).await {
                    if let Some(drift) = drift? {
                        self.found(&drift);
                    }
                }
            }
        }
    }

    async fn look_up(&self, row: &Credential) -> Result<Option<Drift>, ReconcileError> {
        let Some(class) = self.class_of(row).await? else { return Ok(None) };
        // Whoever changed it meanwhile has changed what belongs to it.
        let now = self.app.repos.credentials.find(row.client_id, row.credential_id).await?;
        let unchanged = now.is_some_and(|now| now.status == CredentialStatus::Active && now.secret == row.secret);
        Ok(unchanged.then(|| Drift::of_row(class, row, self.place)))
    }

    async fn class_of(&self, row: &Credential) -> Result<Option<DriftClass>, ReconcileError> {
        let key = key(row.client_id, row.credential_id).map_err(ReconcileError::Vault)?;
        let standing = match row.secret.to_record() {
            Ok(record) => self.vault.record_state(&key, &record).await,
            Err(error) => Err(error),
        };
        match standing {
            Ok(RecordState::Sound) => Ok(None),
            Ok(RecordState::Behind { .. }) => Ok(Some(DriftClass::VersionBehind)),
            Ok(RecordState::SoftDeleted) => Ok(Some(DriftClass::SoftDeleted)),
            Ok(RecordState::Destroyed | RecordState::VersionGone { .. }) => Ok(Some(DriftClass::VersionMissing)),
            Ok(RecordState::Absent) => Ok(Some(DriftClass::RowWithoutPath)),
            Ok(_) => Ok(Some(DriftClass::Unreadable)),
            Err(error) if error.kind() == ErrorKind::Malformed => Ok(Some(DriftClass::Elsewhere)),
            Err(error) => Err(ReconcileError::Vault(error)),
        }
    }
}
