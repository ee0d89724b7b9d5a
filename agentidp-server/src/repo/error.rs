//! What goes wrong with a database, told without its data.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use sqlx::migrate::MigrateError;

/// What every method of a repository answers.
pub type Result<T> = std::result::Result<T, RepoError>;

/// The database could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepoError {
    /// It cannot be reached, did not answer or refused. `during` names the operation.
    #[error("the database did not carry out {during}")]
    Unavailable {
        /// The repository method.
        during: &'static str,
        /// The driver's error, without values.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// It answered, and will not have what was to be written: a value breaks a constraint or cannot be held. Trying again
    /// would not help, and other rows are not concerned.
    #[error("the database refused what {during} was to write")]
    Refused {
        /// The repository method.
        during: &'static str,
        /// The driver's error, without values.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The database's address cannot be read; this says why, and repeats no password.
    #[error("{0}")]
    Address(String),
    /// A row cannot be read.
    #[error("{during} found a row whose {column} cannot be read")]
    Corrupt {
        /// The repository method.
        during: &'static str,
        /// The column.
        column: String,
    },
}

impl RepoError {
    pub(super) fn new(during: &'static str, error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::ColumnDecode { index, .. } => {
                Self::Corrupt { during, column: index.trim_matches('"').to_owned() }
            }
            sqlx::Error::Configuration(error) => Self::Address(unwrapped(&*error)),
            error if is_refusal(&error) => Self::Refused { during, source: Box::new(Reason(describe(&error))) },
            error => Self::unavailable(during, describe(&error)),
        }
    }

    /// The same once more, for another who waited for the same statement.
    pub(super) fn again(&self) -> Self {
        let reason = |source: &dyn StdError| Box::new(Reason(source.to_string()));
        match self {
            Self::Unavailable { during, source } => Self::Unavailable { during, source: reason(source.as_ref()) },
            Self::Refused { during, source } => Self::Refused { during, source: reason(source.as_ref()) },
            Self::Address(reason) => Self::Address(reason.clone()),
            Self::Corrupt { during, column } => Self::Corrupt { during, column: column.clone() },
        }
    }

    /// It did not answer within `limit`.
    pub(crate) fn late(during: &'static str, limit: Duration) -> Self {
        Self::unavailable(during, format!("no answer within {limit:?}"))
    }

    pub(super) fn unavailable(during: &'static str, reason: impl Into<String>) -> Self {
        Self::Unavailable { during, source: Box::new(Reason(reason.into())) }
    }
}

/// Why, as text. The driver's own errors are not kept: their `Debug` prints rows, and with them hashes and paths.
#[derive(Debug)]
struct Reason(String);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Reason {}

/// Whether it is about the values: SQLSTATE classes 22 (data exception), 23 (integrity constraint) and P0 (a trigger's
/// exception), or a constraint of SQLite. Anything else may be over when it is tried again.
fn is_refusal(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let code = error.code().unwrap_or_default();
    let of_postgres = code.len() == 5 && ["22", "23", "P0"].iter().any(|class| code.starts_with(class));
    of_postgres || is_sqlite_constraint(&code)
}

/// `SQLITE_CONSTRAINT` and its extended codes have 19 in the lowest byte (<https://www.sqlite.org/rescode.html>); all are
/// below the five digits of an SQLSTATE.
fn is_sqlite_constraint(code: &str) -> bool {
    code.len() < 5 && code.parse::<u32>().is_ok_and(|code| code & 0xff == 19)
}

/// What the driver has against an address. It wraps some of its errors into another one, which says nothing.
fn unwrapped(error: &(dyn StdError + 'static)) -> String {
    match error.downcast_ref() {
        Some(sqlx::Error::Configuration(inner)) => inner.to_string(),
        _ => error.to_string(),
    }
}

/// What the driver says, without values.
pub(super) fn describe(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            // SQLSTATE class 22, data exceptions, quotes the value in its message.
            let quotes_values = code.len() == 5 && code.starts_with("22");
            let message = if quotes_values { "a value was refused" } else { error.message() };
            format!("{message} (code {code})")
        }
        sqlx::Error::Io(error) => format!("the connection failed: {error}"),
        sqlx::Error::Tls(error) => format!("TLS failed: {error}"),
        sqlx::Error::PoolTimedOut => "no connection was to be had in time".to_owned(),
        sqlx::Error::PoolClosed => "the connections have been closed".to_owned(),
        sqlx::Error::Migrate(error) => describe_migration(error),
        // These say in their text what was on the wire or in the row.
        sqlx::Error::Protocol(_) | sqlx::Error::Encode(_) | sqlx::Error::Decode(_) => {
            "the driver and the database did not understand each other".to_owned()
        }
        error => error.to_string(),
    }
}

fn describe_migration(error: &MigrateError) -> String {
    match error {
        MigrateError::Execute(error) => describe(error),
        MigrateError::ExecuteMigration(error, version) => format!("migration {version}: {}", describe(error)),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_driver_quotes_is_not_repeated() {
        let decode = sqlx::Error::ColumnDecode { index: "\"status\"".to_owned(), source: "canary".into() };
        for error in [
            RepoError::new("agents.find", decode),
            RepoError::new("agents.find", sqlx::Error::Protocol("canary".to_owned())),
            RepoError::new("agents.find", sqlx::Error::Decode("canary".into())),
            RepoError::new("agents.find", sqlx::Error::Encode("canary".into())),
        ] {
            let source = error.source().map(|source| format!("{source} {source:?}")).unwrap_or_default();
            assert!(!format!("{error} {error:?} {error:#?} {source}").contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn an_unreadable_column_is_named() {
        let decode = sqlx::Error::ColumnDecode { index: "\"status\"".to_owned(), source: "x".into() };
        assert_eq!(
            RepoError::new("agents.find", decode).to_string(),
            "agents.find found a row whose status cannot be read"
        );
    }
}
