//! `JWT_PRIVATE_KEY`, `JWT_PRIVATE_KEY_FILE` and `JWT_ISSUER`.

use url::Url;

use super::lookup::Lookup;
use super::{ConfigError, Secret, Storage};

/// How access tokens are signed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Jwt {
    /// The RSA key as PEM; none: the one in the data directory, generated on first use.
    pub private_key: Option<Secret>,
    /// Which of the two settings the key came from, for messages and for the printed first steps.
    pub private_key_setting: &'static str,
    /// The `iss` claim, where one is wanted.
    pub issuer: Option<String>,
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
            issuer: lookup.parsed("JWT_ISSUER", "an http or https URL without query and fragment", parse_issuer)?,
        })
    }
}

/// An issuer is a URL (RFC 8414 §2) and is compared as text: it is kept as it was written.
fn parse_issuer(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    (matches!(url.scheme(), "http" | "https") && plain).then(|| text.to_owned())
}
