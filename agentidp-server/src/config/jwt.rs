//! `JWT_PRIVATE_KEY`, `JWT_PRIVATE_KEY_FILE`, `JWT_ALGORITHM`, `JWT_ACCEPTED_KEY_FILES`, `JWT_ISSUER` and `TOKEN_PROFILE`.

use url::Url;

use super::lookup::Lookup;
use super::{ConfigError, Secret, Storage};
use crate::keys::KeyAlgorithm;
use crate::tokens::TokenProfile;

/// How access tokens are signed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Jwt {
    /// The key as PEM; none: the one in the data directory, generated on first use.
    pub private_key: Option<Secret>,
    /// Which of the two settings the key came from, for messages and for the printed first steps.
    pub private_key_setting: &'static str,
    /// What the key must be for, where that is said; what is generated.
    pub algorithm: Option<KeyAlgorithm>,
    /// Files of keys whose tokens are good beside those of the key above, each with its content.
    pub accepted_keys: Vec<(String, Secret)>,
    /// The issuer, where the setting names it; [`Config::issuer`](super::Config::issuer) derives it elsewhere.
    pub issuer: Option<String>,
    /// The form of tokens.
    pub profile: TokenProfile,
}

impl Jwt {
    pub(super) fn read(lookup: &Lookup<'_>, storage: &Storage) -> Result<Self, ConfigError> {
        let private_key = lookup.secret("JWT_PRIVATE_KEY", "JWT_PRIVATE_KEY_FILE")?;
        if private_key.is_none() && storage.is_postgres() {
            return Err(ConfigError::new(
                "JWT_PRIVATE_KEY_FILE",
                "is missing while DATABASE_URL names PostgreSQL, whose servers must all sign with one key: make one with \
                 `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out jwt-key.pem` and name it, or put it \
                 into JWT_PRIVATE_KEY",
            ));
        }
        let from_file = lookup.text("JWT_PRIVATE_KEY_FILE").is_some();
        Ok(Self {
            private_key,
            private_key_setting: if from_file { "JWT_PRIVATE_KEY_FILE" } else { "JWT_PRIVATE_KEY" },
            algorithm: lookup.parsed("JWT_ALGORITHM", "RS256, ES256 or EdDSA", KeyAlgorithm::parse)?,
            accepted_keys: lookup.secret_files("JWT_ACCEPTED_KEY_FILES")?,
            issuer: lookup.parsed(
                "JWT_ISSUER",
                "an http or https URL without user, query and fragment",
                parse_issuer,
            )?,
            profile: lookup.parsed("TOKEN_PROFILE", "jwt or rfc9068", TokenProfile::parse)?.unwrap_or_default(),
        })
    }
}

/// An issuer is a URL (RFC 8414 §2) and is compared as text: it is kept as it was written.
fn parse_issuer(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    (matches!(url.scheme(), "http" | "https") && plain).then(|| text.to_owned())
}
