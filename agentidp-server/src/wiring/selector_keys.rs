//! The keys of selectors.

use agentidp_secrets::MacKeys;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use tracing::warn;
use zeroize::Zeroizing;

use super::StartError;
use super::data_dir::{data_dir, unusable};
use crate::config::{Config, ConfigError};
use crate::data_dir::DataDir;

/// The keys that the settings give, or the one beside the signing key in the data directory, if a start has made it. None where
/// the signing key is given and these are not: several servers need the same ones.
///
/// A key that was made is for selectors only: whoever loses it loses time, and no secret.
///
/// # Errors
/// [`StartError`] when the file cannot be read, or holds no keys.
pub(crate) fn selector_keys(config: &Config) -> Result<Option<MacKeys>, StartError> {
    let path = DataDir::selector_keys_path_in(&config.storage.data_dir);
    if !config.makes_selector_keys() || !path.exists() {
        return Ok(config.digests.mac_keys.clone());
    }
    let text = data_dir(config)?.selector_keys(generate).map_err(|error| unusable(config, &error))?;
    MacKeys::parse(&text).map(Some).map_err(|error| {
        let problem =
            format!("has a {} that holds no usable keys: {error}; delete it to get a new one", path.display());
        ConfigError::new("AGENTIDP_DATA_DIR", problem).into()
    })
}

/// Makes the key where it is missing, and goes without where it cannot be kept.
pub(super) fn make(config: &Config) {
    let path = DataDir::selector_keys_path_in(&config.storage.data_dir);
    if !config.makes_selector_keys() || path.exists() {
        return;
    }
    if let Err(error) =
        DataDir::open(&config.storage.data_dir).and_then(|place| place.selector_keys(generate).map(drop))
    {
        warn!(%error, "no key for selectors can be kept at {}: wrong secrets cost digests", path.display());
    }
}

/// One key under a fresh id: a selector under a key that was lost must not be taken for one under its successor.
fn generate() -> Result<Zeroizing<String>, Unspecified> {
    let (mut id, mut key) = ([0; 6], Zeroizing::new([0; MacKeys::KEY_LEN]));
    rand::fill(&mut id)?;
    rand::fill(key.as_mut_slice())?;
    let digits = Zeroizing::new(hex::encode(key.as_slice()));
    Ok(Zeroizing::new(format!("k{}:{}\n", hex::encode(id), digits.as_str())))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn keys(settings: &[(&str, &str)]) -> Result<Option<String>, String> {
        let find = |name: &str| settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let config = Config::from_lookup(find).map_err(|error| error.to_string())?;
        make(&config);
        let keys = selector_keys(&config).map_err(|error| error.to_string())?;
        Ok(keys.map(|keys| keys.ids().map(|id| id.to_string()).collect()))
    }

    #[test]
    fn an_embedded_start_makes_one_and_keeps_it() {
        let place = tempfile::tempdir().unwrap();
        let data_dir = ("AGENTIDP_DATA_DIR", place.path().to_str().unwrap());
        let first = keys(&[data_dir]).unwrap().unwrap();
        assert_eq!(keys(&[data_dir]).unwrap().unwrap(), first);
        fs::remove_file(place.path().join("selector-keys")).unwrap();
        assert_ne!(keys(&[data_dir]).unwrap().unwrap(), first, "another key has another id");
        fs::write(place.path().join("selector-keys"), "canary").unwrap();
        let refused = keys(&[data_dir]).unwrap_err();
        assert!(refused.starts_with("AGENTIDP_DATA_DIR has a") && !refused.contains("canary"), "{refused}");
    }

    #[test]
    fn only_a_start_makes_one_and_goes_without_where_it_cannot_be_kept() {
        let place = tempfile::tempdir().unwrap();
        let data_dir = place.path().join("is a file");
        fs::write(&data_dir, "").unwrap();
        for data_dir in [place.path(), &data_dir] {
            let find = |name: &str| (name == "AGENTIDP_DATA_DIR").then(|| data_dir.to_str().unwrap().to_owned());
            let config = Config::from_lookup(find).unwrap();
            assert!(selector_keys(&config).unwrap().is_none());
        }
        assert_eq!(keys(&[("AGENTIDP_DATA_DIR", data_dir.to_str().unwrap())]).unwrap(), None);
    }

    #[test]
    fn given_keys_are_taken_and_none_is_made_where_the_signing_key_is_given() {
        let place = tempfile::tempdir().unwrap();
        let data_dir = ("AGENTIDP_DATA_DIR", place.path().to_str().unwrap());
        let digits: String = (1..=32).map(|byte| format!("{byte:02x}")).collect();
        let given = format!("mine:{digits}");
        assert_eq!(keys(&[data_dir, ("MAC_KEYS", &given)]).unwrap().as_deref(), Some("mine"));
        assert_eq!(keys(&[data_dir, ("JWT_PRIVATE_KEY", "a key")]).unwrap(), None);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
