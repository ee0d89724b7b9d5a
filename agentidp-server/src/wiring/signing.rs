//! The keys of tokens.

use std::sync::Arc;

use agentidp_secrets::Clock;

use super::StartError;
use super::data_dir::{data_dir, unusable};
use crate::config::{Config, ConfigError};
use crate::data_dir::DataDir;
use crate::keys::{KeyAlgorithm, SigningKey, VerifyingKey};
use crate::tokens::{Issuer, Tokens};

/// What signs and checks tokens of `issuer`; generates the key where it is to be generated.
///
/// # Errors
/// [`StartError`] when there is no usable key, or a key of another kind than the settings ask for.
pub fn tokens(config: &Config, issuer: Option<Issuer>, clock: Arc<dyn Clock>) -> Result<Tokens, StartError> {
    let key = match &config.jwt.private_key {
        Some(pem) => given(config, pem.expose_secret())?,
        None => kept(config)?,
    };
    Ok(Tokens::with_profile(key, accepted(config)?, issuer, config.jwt.profile, clock))
}

/// For a command, which signs nothing: where there is no key it makes none that anybody would find.
///
/// # Errors
/// As [`tokens`].
pub(super) fn tokens_of_a_command(config: &Config, clock: Arc<dyn Clock>) -> Result<Tokens, StartError> {
    if config.jwt.private_key.is_some() || DataDir::key_path_in(&config.storage.data_dir).exists() {
        return tokens(config, config.issuer(), clock);
    }
    let key = SigningKey::generate_pem(KeyAlgorithm::EdDsa).and_then(|pem| SigningKey::from_pem(&pem));
    let key = key.map_err(|error| StartError::System {
        what: "a key could not be generated",
        source: std::io::Error::other(error),
    })?;
    Ok(Tokens::with_profile(key, Vec::new(), None, config.jwt.profile, clock))
}

fn given(config: &Config, pem: &str) -> Result<SigningKey, StartError> {
    let setting = config.jwt.private_key_setting;
    let key = SigningKey::from_pem(pem).map_err(|error| ConfigError::new(setting, format_args!("is {error}")))?;
    match config.jwt.algorithm {
        Some(wanted) if wanted != key.algorithm() => {
            let problem = format!(
                "is {wanted}, but {setting} has a key for {}: give a key for {wanted}, or leave JWT_ALGORITHM unset, since \
                         the key alone decides",
                key.algorithm()
            );
            Err(ConfigError::new("JWT_ALGORITHM", problem).into())
        }
        _ => Ok(key),
    }
}

/// The key in the data directory.
fn kept(config: &Config) -> Result<SigningKey, StartError> {
    let data_dir = data_dir(config)?;
    let generate = || SigningKey::generate_pem(config.jwt.algorithm.unwrap_or_default());
    let pem = data_dir.key_pem(generate).map_err(|error| unusable(config, &error))?;
    let path = data_dir.key_path();
    let path = path.display();
    let key = SigningKey::from_pem(&pem).map_err(|error| {
        ConfigError::new("AGENTIDP_DATA_DIR", format!("has a {path} that is {error}, or delete it to get a new one"))
    })?;
    match config.jwt.algorithm {
        Some(wanted) if wanted != key.algorithm() => {
            let problem = format!(
                "is {wanted}, but {path} is a key for {}: leave JWT_ALGORITHM unset to go on with it; for a new key move \
                 that file elsewhere and name it in JWT_ACCEPTED_KEY_FILES for as long as its tokens live (1 h)",
                key.algorithm()
            );
            Err(ConfigError::new("JWT_ALGORITHM", problem).into())
        }
        _ => Ok(key),
    }
}

fn accepted(config: &Config) -> Result<Vec<VerifyingKey>, StartError> {
    let keys = config.jwt.accepted_keys.iter().map(|(path, pem)| {
        VerifyingKey::from_pem(pem.expose_secret()).map_err(|error| {
            ConfigError::new("JWT_ACCEPTED_KEY_FILES", format_args!("names {path:?}, which is {error}")).into()
        })
    });
    keys.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use agentidp_secrets::SystemClock;
    use serde_json::Value;

    use super::*;

    fn start(settings: &[(&str, &str)]) -> Result<Tokens, String> {
        let find = |name: &str| settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let config = Config::from_lookup(find).map_err(|error| error.to_string())?;
        tokens(&config, config.issuer(), Arc::new(SystemClock::default())).map_err(|error| error.to_string())
    }

    fn algorithms(tokens: &Tokens) -> Vec<String> {
        let set: Value = serde_json::from_str(tokens.jwks()).unwrap();
        set["keys"].as_array().unwrap().iter().map(|key| key["alg"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_setting_decides_what_is_generated_and_never_what_is_there() {
        let place = tempfile::tempdir().unwrap();
        let data_dir = ("AGENTIDP_DATA_DIR", place.path().to_str().unwrap());
        let first = start(&[data_dir, ("JWT_ALGORITHM", "ES256")]).unwrap();
        assert_eq!(algorithms(&first), ["ES256"]);
        assert_eq!(start(&[data_dir]).unwrap().jwks(), first.jwks(), "unset: the key that is there");
        let refused = start(&[data_dir, ("JWT_ALGORITHM", "EdDSA")]).unwrap_err();
        assert!(refused.starts_with("JWT_ALGORITHM is EdDSA, but") && refused.contains("a key for ES256"), "{refused}");
        assert!(refused.contains("JWT_ACCEPTED_KEY_FILES"), "{refused}");

        let old = place.path().join("old.pem");
        fs::rename(place.path().join("jwt-key.pem"), &old).unwrap();
        let accepted = ("JWT_ACCEPTED_KEY_FILES", old.to_str().unwrap());
        let next = start(&[data_dir, ("JWT_ALGORITHM", "EdDSA"), accepted]).unwrap();
        assert_eq!(algorithms(&next), ["EdDSA", "ES256"]);
    }

    #[test]
    fn a_given_key_decides_and_a_setting_that_disagrees_is_refused() {
        let pem = SigningKey::generate_pem(KeyAlgorithm::EdDsa).unwrap();
        let key = ("JWT_PRIVATE_KEY", pem.as_str());
        assert_eq!(algorithms(&start(&[key]).unwrap()), ["EdDSA"]);
        assert!(start(&[key, ("JWT_ALGORITHM", "EdDSA")]).is_ok());
        let refused = start(&[key, ("JWT_ALGORITHM", "RS256")]).unwrap_err();
        assert!(refused.starts_with("JWT_ALGORITHM is RS256, but JWT_PRIVATE_KEY has a key for EdDSA"), "{refused}");
    }

    #[test]
    fn accepted_keys_are_named_where_they_are_none() {
        let place = tempfile::tempdir().unwrap();
        let [good, bad] = ["good", "bad"].map(|name| place.path().join(name));
        fs::write(&good, SigningKey::generate_pem(KeyAlgorithm::Es256).unwrap().as_bytes()).unwrap();
        fs::write(&bad, "canary").unwrap();
        let pem = SigningKey::generate_pem(KeyAlgorithm::EdDsa).unwrap();
        let key = ("JWT_PRIVATE_KEY", pem.as_str());
        let list = format!("{}, {}", good.display(), good.display());
        assert_eq!(algorithms(&start(&[key, ("JWT_ACCEPTED_KEY_FILES", &list)]).unwrap()), ["EdDSA", "ES256"]);
        let list = format!("{},{}", good.display(), bad.display());
        let refused = start(&[key, ("JWT_ACCEPTED_KEY_FILES", &list)]).unwrap_err();
        assert!(refused.starts_with("JWT_ACCEPTED_KEY_FILES names") && refused.contains("bad"), "{refused}");
        assert!(!refused.contains("canary"), "{refused}");
    }
}
