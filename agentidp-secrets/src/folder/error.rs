//! Why a look finds nothing out.

use std::error::Error as StdError;
use std::fmt;

use crate::error::Error;

/// Why a row and an entry could not be compared, or made to agree.
#[derive(Debug)]
#[non_exhaustive]
pub enum FolderError<E> {
    /// The entry could not be read or written, or no mark be made for it.
    Entry(Error),
    /// The database did not answer.
    Rows(E),
    /// Other processes on this database were always quicker.
    Busy,
    /// What was to be admitted is not there any more.
    Changed,
}

impl<E: fmt::Display> fmt::Display for FolderError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(error) => write!(f, "the ledger entry in Vault could not be read or written: {error}"),
            Self::Rows(error) => error.fmt(f),
            Self::Busy => f.write_str("the ledger entry was advanced by other replicas all the time"),
            Self::Changed => {
                f.write_str("the ledger entry or this database's row was changed meanwhile: compare them again")
            }
        }
    }
}

impl<E: StdError + 'static> StdError for FolderError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Entry(error) => Some(error),
            Self::Rows(error) => error.source(),
            Self::Busy | Self::Changed => None,
        }
    }
}
