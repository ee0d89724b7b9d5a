//! Why the server did not start.

use std::error::Error as StdError;
use std::process::ExitCode;

use crate::config::{Config, ConfigError};
use crate::repo::RepoError;

/// Why the server did not start. `Display` is one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot work.
    #[error("{0}")]
    Setting(#[from] ConfigError),
    /// The database cannot be used. Also a setting's fault at times, but one that time may mend.
    #[error("{0}")]
    Database(String),
    /// A part of the library could not be made.
    #[error("{0}")]
    Secrets(#[from] agentidp_secrets::Error),
    /// The address cannot be listened on.
    #[error(
        "PORT and HOST name {address}, which cannot be listened on ({source}): free it, or set PORT=0 for any free port"
    )]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system refused something that every start needs.
    #[error("{what}: {source}")]
    System {
        /// What it refused.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
}

impl StartError {
    /// The database's answer with what lies behind it, in one line. Drivers do not repeat the address or its password.
    pub(crate) fn database(config: &Config, error: &RepoError) -> Self {
        if let RepoError::Address(reason) = error {
            return ConfigError::new("DATABASE_URL", format_args!("cannot be read: {reason}")).into();
        }
        let place = match config.storage.database_url {
            Some(_) => "DATABASE_URL names",
            None => "AGENTIDP_DATA_DIR holds",
        };
        let mut text = format!("{place} a database that cannot be used: {error}");
        let mut source = error.source();
        while let Some(error) = source {
            text.push_str(&format!(": {error}"));
            source = error.source();
        }
        // SQLite's words for a folder that is missing, or may not be written to (SQLITE_CANTOPEN).
        if text.contains("unable to open database file") {
            text.push_str("; name a file in a folder that is there and that this user may write to");
        }
        Self::Database(text.replace(char::is_control, " "))
    }

    /// 2 where a setting has to change, 1 otherwise.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Setting(_) | Self::Listen { .. } => ExitCode::from(2),
            Self::Secrets(error) if error.kind() == agentidp_secrets::ErrorKind::InvalidConfig => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}
