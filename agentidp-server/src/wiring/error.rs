//! Why the server did not start.

use std::error::Error as StdError;
use std::process::ExitCode;

use crate::config::{Config, ConfigError};
use crate::repo::RepoError;

/// What to do where a text has this part: the words of SQLite and of the driver, and PostgreSQL's codes.
const MENDS: [(&str, &str); 14] = [
    // SQLITE_CANTOPEN.
    ("unable to open database file", "name a file in a folder that is there and that this user may write to"),
    ("(code 28P01)", "look at its user and password"),
    ("(code 28000)", "look at its user, and at pg_hba.conf of PostgreSQL"),
    ("(code 3D000)", "create it, or name another one"),
    ("(code 3F000)", "create the schema that search_path names"),
    ("permission denied for table", "grant this role what it lacks: `agentidp-server check` names it"),
    (
        "(code 42501)",
        "run `agentidp-server migrate` as the owner of the tables, or grant this role CREATE on the schema",
    ),
    ("(code 53300)", "raise max_connections of PostgreSQL, or close some: this server needs a dozen"),
    (
        "unsupported startup parameter",
        "set ignore_startup_parameters = extra_float_digits, options in PgBouncer, or name PostgreSQL itself",
    ),
    ("Connection refused", "is PostgreSQL running there, and are its host and port right?"),
    ("failed to lookup address", "is its host right?"),
    ("No such file or directory", "is the folder of its socket right, and is PostgreSQL running?"),
    ("TLS failed", "look at its sslmode and sslrootcert, and at ssl of PostgreSQL"),
    (
        "no connection was to be had in time",
        "is it PostgreSQL that listens there, and may this role have a dozen connections?",
    ),
];

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
        if let Some((_, mend)) = MENDS.iter().find(|(part, _)| text.contains(part)) {
            text.push_str("; ");
            text.push_str(mend);
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
