//! `DATABASE_URL`, `AGENTIDP_DATA_DIR` and `ROW_CACHE_CAPACITY`.

use std::path::PathBuf;

use super::lookup::Lookup;
use super::postgres_url::driver_form;
use super::{ConfigError, Secret};

/// Where the embedded database and the generated key go unless `AGENTIDP_DATA_DIR` says otherwise.
pub const DEFAULT_DATA_DIR: &str = "./agentidp-data";

/// About 50 MB when it is full, which takes as many credentials in use.
const DEFAULT_ROW_CACHE: usize = 1_000_000;

/// 5 GB. More agents than that have more than one server.
const MAX_ROW_CACHE: usize = 10_000_000;

/// Where rows and the generated key live.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Storage {
    /// The database; none: the embedded SQLite file in the data directory. Secret, because it may have a password in it.
    pub database_url: Option<Secret>,
    /// The directory of the embedded database and of the generated key.
    pub data_dir: PathBuf,
    /// How many credentials' rows are kept in memory where the database tells of changes; 0 keeps none.
    pub row_cache_capacity: usize,
}

impl Storage {
    pub(super) fn read(lookup: &Lookup<'_>, warnings: &mut Vec<String>) -> Result<Self, ConfigError> {
        let mut database_url = lookup.text("DATABASE_URL").map(Secret::from);
        if database_url.as_ref().is_some_and(|url| !is_postgres(url) && !url.expose_secret().starts_with("sqlite:")) {
            // The text is not repeated: it may have a password in it.
            let problem = "must begin with postgres:// or sqlite: (unset it for the embedded SQLite file)";
            return Err(ConfigError::new("DATABASE_URL", problem));
        }
        // Each connection would have another database, which ends with it.
        if database_url.as_ref().is_some_and(|url| is_nowhere(url.expose_secret())) {
            let problem =
                "names no file: write sqlite: and its path, or unset it for the SQLite file in AGENTIDP_DATA_DIR";
            return Err(ConfigError::new("DATABASE_URL", problem));
        }
        if let Some(url) = database_url.as_mut().filter(|url| is_postgres(url)) {
            *url = Secret::from(driver_form(url.expose_secret(), warnings)?);
        }
        let data_dir = lookup.text("AGENTIDP_DATA_DIR").unwrap_or_else(|| DEFAULT_DATA_DIR.to_owned());
        let expected = format_args!("a number from 0 (read rows on every request) to {MAX_ROW_CACHE}");
        let fits = |capacity: &usize| *capacity <= MAX_ROW_CACHE;
        let capacity = lookup.parsed("ROW_CACHE_CAPACITY", expected, |text| text.parse().ok().filter(fits))?;
        Ok(Self {
            database_url,
            data_dir: PathBuf::from(data_dir),
            row_cache_capacity: capacity.unwrap_or(DEFAULT_ROW_CACHE),
        })
    }

    /// Whether the database is one that several servers may share.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.database_url.as_ref().is_some_and(is_postgres)
    }
}

/// SQLite in memory, by what is left out or by its name.
fn is_nowhere(url: &str) -> bool {
    url.strip_prefix("sqlite:").is_some_and(|path| {
        let path = path.strip_prefix("//").unwrap_or(path);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        path.is_empty() || path.contains(":memory:") || query.split('&').any(|pair| pair == "mode=memory")
    })
}

fn is_postgres(url: &Secret) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| url.expose_secret().starts_with(scheme))
}
