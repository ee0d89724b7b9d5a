//! `MAC_KEYS`, `MAC_KEYS_FILE`, `SECRET_BACKEND` and `DIGEST_FLOOR`.

use agentidp_secrets::MacKeys;

use super::ConfigError;
use super::lookup::Lookup;

/// What rows hold of secrets, and beside them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Digests {
    /// Keys of selectors and of keyed digests; none: there are neither.
    pub mac_keys: Option<MacKeys>,
    /// Where new secrets are kept.
    pub new: NewSecrets,
    /// How many cores digests get at least while they have work; a quarter of them unless set.
    pub floor: Option<f64>,
}

/// Where new secrets are kept. The other backends that are configured verify what they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the wiring must handle each")]
pub enum NewSecrets {
    /// A bcrypt digest in the row: documented where there is no Vault.
    Bcrypt,
    /// HMAC-SHA-256 under the first of the keys, in the row.
    Keyed,
    /// In Vault: documented where there is one.
    Vault,
}

impl NewSecrets {
    /// Each with its name.
    pub(crate) const ALL: [(&str, Self); 3] =
        [("bcrypt", Self::Bcrypt), ("keyed-digest", Self::Keyed), ("vault-kv2", Self::Vault)];

    pub(super) const NAMES: &str = "bcrypt, keyed-digest or vault-kv2";

    /// The backend of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, backend)| *backend)
    }
}

impl Digests {
    pub(super) fn read(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let mac_keys = mac_keys(lookup)?;
        let has_vault = lookup.text("VAULT_ADDR").is_some();
        let new = lookup.parsed("SECRET_BACKEND", NewSecrets::NAMES, NewSecrets::named)?;
        let digests = Self {
            mac_keys,
            new: if has_vault { NewSecrets::Vault } else { NewSecrets::Bcrypt },
            floor: lookup.parsed("DIGEST_FLOOR", "a number of cores from 0 to 1024, such as 0.5", |text| {
                text.parse().ok().filter(|cores| (0.0..=1024.0).contains(cores))
            })?,
        };
        match new {
            Some(new) => digests.storing_in(new, has_vault, "SECRET_BACKEND"),
            None => Ok(digests),
        }
    }

    /// The same with this backend for new secrets, which `chosen_by` names.
    pub(super) fn storing_in(self, new: NewSecrets, has_vault: bool, chosen_by: &str) -> Result<Self, ConfigError> {
        if new == NewSecrets::Keyed && self.mac_keys.is_none() {
            let problem = format!(
                "is missing while {chosen_by} is keyed-digest: write `k1:` and the 64 digits that `openssl rand -hex 32` prints into a \
                 file and name it; every server of one database needs the same"
            );
            return Err(ConfigError::new("MAC_KEYS_FILE", problem));
        }
        if new == NewSecrets::Vault && !has_vault {
            let problem =
                format!("is missing while {chosen_by} is vault-kv2: set the address of Vault, or name another backend");
            return Err(ConfigError::new("VAULT_ADDR", problem));
        }
        Ok(Self { new, ..self })
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
