//! What goes wrong, without the values of rows.

use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug)]
pub enum Error {
    Database {
        message: String,
        may_repeat: bool,
    },
    /// A row holds what we never wrote.
    Damaged,
    /// The agent is suspended, or there is no such agent.
    NotActive,
}

/// The driver's error is not kept: its `Debug` prints rows.
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        // A serialization failure, or a deadlock.
        let may_repeat = matches!(code.as_deref(), Some("40001" | "40P01"));
        Self::Database { message: error.to_string(), may_repeat }
    }
}

impl From<agentidp_secrets::Error> for Error {
    fn from(_: agentidp_secrets::Error) -> Self {
        Self::Damaged
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database { message, .. } => f.write_str(message),
            Self::Damaged => f.write_str("a credential's row holds what we never wrote"),
            Self::NotActive => f.write_str("the agent is not active"),
        }
    }
}

impl std::error::Error for Error {}
