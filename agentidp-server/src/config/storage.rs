//! `DATABASE_URL` and `AGENTIDP_DATA_DIR`.

use std::path::PathBuf;

use super::lookup::Lookup;
use super::{ConfigError, Secret};

/// Where the embedded database and the generated key go unless `AGENTIDP_DATA_DIR` says otherwise.
pub const DEFAULT_DATA_DIR: &str = "./agentidp-data";

/// Where rows and the generated key live.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Storage {
    /// The database; none: the embedded SQLite file in the data directory. Secret, because it may have a password in it.
    pub database_url: Option<Secret>,
    /// The directory of the embedded database and of the generated key.
    pub data_dir: PathBuf,
}

impl Storage {
    pub(super) fn read(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let database_url = lookup.text("DATABASE_URL").map(Secret::from);
        if database_url.as_ref().is_some_and(|url| !is_postgres(url) && !url.expose_secret().starts_with("sqlite:")) {
            // The text is not repeated: it may have a password in it.
            let problem = "must begin with postgres:// or sqlite: (unset it for the embedded SQLite file)";
            return Err(ConfigError::new("DATABASE_URL", problem));
        }
        let data_dir = lookup.text("AGENTIDP_DATA_DIR").unwrap_or_else(|| DEFAULT_DATA_DIR.to_owned());
        Ok(Self { database_url, data_dir: PathBuf::from(data_dir) })
    }

    /// Whether the database is one that several servers may share.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.database_url.as_ref().is_some_and(is_postgres)
    }
}

fn is_postgres(url: &Secret) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| url.expose_secret().starts_with(scheme))
}
