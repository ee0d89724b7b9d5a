//! Why a look finds nothing out.

use agentidp_secrets::Error;

use crate::repo::RepoError;

/// Why a row and an entry could not be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Vault did not answer.
    #[error("the ledger entry in Vault could not be read or written: {0}")]
    Vault(#[source] Error),
    /// The database did not answer.
    #[error("{0}")]
    Database(#[from] RepoError),
    /// Other processes on this database were always quicker.
    #[error("the ledger entry was advanced by other replicas all the time")]
    Busy,
}
