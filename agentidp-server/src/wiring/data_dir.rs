//! The data directory that the settings name.

use std::path::PathBuf;

use super::error::StartError;
use crate::config::{Config, ConfigError};
use crate::data_dir::DataDir;
use crate::repo;

pub(super) fn data_dir(config: &Config) -> Result<DataDir, StartError> {
    DataDir::open(&config.storage.data_dir).map_err(|error| unusable(config, &error))
}

/// The file of a database on this machine that is not there, and the setting that names it.
pub(crate) fn missing_database(config: &Config) -> Option<(&'static str, PathBuf)> {
    match &config.storage.database_url {
        Some(url) => Some(("DATABASE_URL", repo::missing_file(url.expose_secret())?)),
        None => {
            let path = DataDir::database_path_in(&config.storage.data_dir);
            (!path.exists()).then_some(("AGENTIDP_DATA_DIR", path))
        }
    }
}

/// For a command that only a database with something in it has work for. Opening one makes it.
///
/// # Errors
/// [`StartError`] where there is none.
pub(crate) fn refuse_missing_database(config: &Config) -> Result<(), StartError> {
    let Some((setting, path)) = missing_database(config) else { return Ok(()) };
    let problem = format!(
        "leads to no database ({} is not there): run this command in the folder and with the settings of the server, after its \
         first start",
        path.display()
    );
    Err(ConfigError::new(setting, problem).into())
}

pub(super) fn unusable(config: &Config, error: &std::io::Error) -> StartError {
    let path = config.storage.data_dir.display();
    let problem = format!("names {path}, which cannot be used ({error}): name a folder that this user may write to");
    ConfigError::new("AGENTIDP_DATA_DIR", problem).into()
}
