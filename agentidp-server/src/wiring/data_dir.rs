//! The data directory that the settings name.

use super::error::StartError;
use crate::config::{Config, ConfigError};
use crate::data_dir::DataDir;

pub(super) fn data_dir(config: &Config) -> Result<DataDir, StartError> {
    DataDir::open(&config.storage.data_dir).map_err(|error| unusable(config, &error))
}

pub(super) fn unusable(config: &Config, error: &std::io::Error) -> StartError {
    let path = config.storage.data_dir.display();
    let problem = format!("names {path}, which cannot be used ({error}): name a folder that this user may write to");
    ConfigError::new("AGENTIDP_DATA_DIR", problem).into()
}
