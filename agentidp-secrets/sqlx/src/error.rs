//! What goes wrong with a database, without its data.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use sqlx::migrate::MigrateError;

/// Why the ledger failed, or what a change refused with.
///
/// `Display` and `Debug` repeat no values of rows: those are digests and paths of secrets.
#[non_exhaustive]
pub enum Error {
    /// The database cannot be reached, did not answer, or refused.
    Database(sqlx::Error),
    /// A row was read that this release did not write. The text names the column.
    Unreadable(&'static str),
    /// A row was not as its lock promised. The text says how.
    Conflict(&'static str),
    /// What another login's read of the same rows failed with, which this one has waited for.
    Shared(Arc<Self>),
    /// A [`Change`](agentidp_secrets::lifecycle::Change) of the caller has refused.
    Refused(Box<dyn StdError + Send + Sync>),
}

impl Error {
    /// The refusal of a [`Change`](agentidp_secrets::lifecycle::Change): the transaction is rolled back, and the sequence returns
    /// this.
    ///
    /// ```
    /// let refusal = agentidp_secrets_sqlx::Error::refuse("the agent is suspended");
    /// assert_eq!(refusal.to_string(), "the agent is suspended");
    /// ```
    pub fn refuse(why: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Refused(why.into())
    }

    /// The database's own answer, if it was one.
    #[must_use]
    pub fn as_database_error(&self) -> Option<&dyn sqlx::error::DatabaseError> {
        match self {
            Self::Database(error) => error.as_database_error(),
            Self::Shared(error) => error.as_database_error(),
            Self::Unreadable(_) | Self::Conflict(_) | Self::Refused(_) => None,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<MigrateError> for Error {
    fn from(error: MigrateError) -> Self {
        Self::Database(sqlx::Error::Migrate(Box::new(error)))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => describe(error, f),
            Self::Unreadable(column) => {
                write!(f, "the column {column} cannot be read: find out what wrote it")
            }
            Self::Conflict(how) => write!(f, "a credential was changed beside the ledger: {how}"),
            Self::Shared(error) => error.fmt(f),
            Self::Refused(why) => why.fmt(f),
        }
    }
}

/// The driver's own `Debug` prints rows.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variant = match self {
            Self::Database(_) => "Database",
            Self::Unreadable(_) => "Unreadable",
            Self::Conflict(_) => "Conflict",
            Self::Shared(_) => "Shared",
            Self::Refused(why) => return f.debug_tuple("Refused").field(why).finish(),
        };
        write!(f, "{variant}({:?})", self.to_string())
    }
}

/// The driver's error is no source: a reporter that prints sources with `Debug` would print rows.
impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Refused(why) => why.source(),
            Self::Database(_) | Self::Unreadable(_) | Self::Conflict(_) | Self::Shared(_) => None,
        }
    }
}

/// What the driver says, without values.
fn describe(error: &sqlx::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            // SQLSTATE class 22, data exceptions, quotes the value in its message.
            let quotes_values = code.len() == 5 && code.starts_with("22");
            let message = if quotes_values { "a value was refused" } else { error.message() };
            write!(f, "the database refused: {message} (code {code})")
        }
        sqlx::Error::Io(error) => write!(f, "the connection to the database failed: {error}"),
        sqlx::Error::PoolTimedOut => f.write_str("no connection to the database was free in time"),
        sqlx::Error::Migrate(error) => match &**error {
            MigrateError::Execute(error) => describe(error, f),
            MigrateError::ExecuteMigration(error, version) => {
                write!(f, "migration {version}: ")?;
                describe(error, f)
            }
            error => write!(f, "{error}"),
        },
        sqlx::Error::ColumnDecode { index, .. } => write!(f, "the column {index} has a type that is not ours"),
        // These repeat what was on the wire or in the row.
        sqlx::Error::Protocol(_) | sqlx::Error::Encode(_) | sqlx::Error::Decode(_) => {
            f.write_str("the driver could not read the database's answer")
        }
        error => write!(f, "{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_repeats_a_value() {
        let decode = sqlx::Error::ColumnDecode { index: "\"record\"".to_owned(), source: "canary".into() };
        for error in [
            decode,
            sqlx::Error::Protocol("canary".to_owned()),
            sqlx::Error::Decode("canary".into()),
            sqlx::Error::Encode("canary".into()),
        ] {
            let error = Error::from(error);
            assert!(!format!("{error} {error:?} {error:#?}").contains("canary"), "{error:?}");
            assert!(error.source().is_none());
        }
    }

    #[test]
    fn a_refusal_is_returned_as_it_was_given() {
        let refusal = Error::refuse(std::io::Error::other("suspended"));
        assert_eq!(refusal.to_string(), "suspended");
        assert!(matches!(refusal, Error::Refused(why) if why.is::<std::io::Error>()));
    }
}
