//! `MAC_KEYS`, `MAC_KEYS_FILE`, `SECRET_BACKEND`, `DIGEST_FLOOR` and `UPGRADE_ON_VERIFY`.

use agentidp_secrets::MacKeys;

use super::ConfigError;
use super::lookup::Lookup;

/// What rows hold of secrets, and beside them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Digests {
    /// Keys of selectors and of keyed digests; none: there are neither.
    pub mac_keys: Option<MacKeys>,
    /// What becomes of new secrets where there is no Vault.
    pub new: NewDigest,
    /// Whether a record that a login has proved, and that is not of today's form, is replaced by one that is.
    pub upgrade: bool,
    /// How many cores digests get at least while they have work; a quarter of them unless set.
    pub floor: Option<f64>,
}

/// What becomes of new secrets where there is no Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the wiring must handle each")]
pub enum NewDigest {
    /// A bcrypt digest: documented.
    Bcrypt,
    /// HMAC-SHA-256 under the first of the keys.
    Keyed,
}

impl Digests {
    pub(super) fn read(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let mac_keys = mac_keys(lookup)?;
        let new = lookup.parsed("SECRET_BACKEND", "bcrypt or keyed-digest", |text| match text {
            "bcrypt" => Some(NewDigest::Bcrypt),
            "keyed-digest" => Some(NewDigest::Keyed),
            _ => None,
        })?;
        if new == Some(NewDigest::Keyed) {
            if mac_keys.is_none() {
                return Err(ConfigError::new(
                    "MAC_KEYS_FILE",
                    "is missing while SECRET_BACKEND is keyed-digest: write `k1:` and the 64 digits that `openssl rand -hex 32` prints \
                     into a file and name it; every server of one database needs the same",
                ));
            }
            if lookup.text("VAULT_ADDR").is_some() {
                return Err(ConfigError::new(
                    "SECRET_BACKEND",
                    "is keyed-digest while VAULT_ADDR is set, which says that new secrets live in Vault: unset one of them",
                ));
            }
        }
        Ok(Self {
            mac_keys,
            new: new.unwrap_or(NewDigest::Bcrypt),
            floor: lookup.parsed("DIGEST_FLOOR", "a number of cores from 0 to 1024, such as 0.5", |text| {
                text.parse().ok().filter(|cores| (0.0..=1024.0).contains(cores))
            })?,
            upgrade: lookup.flag("UPGRADE_ON_VERIFY")?.unwrap_or(false),
        })
    }
}

fn mac_keys(lookup: &Lookup<'_>) -> Result<Option<MacKeys>, ConfigError> {
    let Some(text) = lookup.secret("MAC_KEYS", "MAC_KEYS_FILE")? else { return Ok(None) };
    let setting = if lookup.text("MAC_KEYS_FILE").is_some() { "MAC_KEYS_FILE" } else { "MAC_KEYS" };
    // The library's message repeats nothing but sound ids.
    MacKeys::parse(text.expose_secret()).map(Some).map_err(|error| {
        let problem = format!("holds no usable keys: {error}; a line is `k1:` and what `openssl rand -hex 32` prints");
        ConfigError::new(setting, problem)
    })
}
