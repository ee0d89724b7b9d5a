//! Settings: read once, from the environment and from `.env`, and checked before anything starts.
//!
//! [`Config::from_lookup`] takes a function from a name to a text, so that tests pass a map and nothing else in the
//! server asks the environment. An empty text is no text. What is wrong becomes a [`ConfigError`]: one line that names
//! the setting and the mend.

mod audit;
mod digests;
mod environment;
mod error;
mod http;
mod jwt;
mod limits;
mod listen;
mod log;
mod lookup;
mod misspelt;
mod postgres_url;
mod reconcile;
mod secret;
mod storage;
mod upgrades;
mod vault;
mod vault_auth;
mod vault_path;
mod warm;

use std::net::SocketAddr;

pub use audit::Audit;
pub use digests::{Digests, NewSecrets};
pub use environment::Environment;
pub use error::ConfigError;
pub use http::Http;
pub use jwt::Jwt;
pub use limits::Limits;
pub use listen::Listen;
pub use log::{Log, LogFormat};
pub use lookup::parse_duration;
pub use misspelt::misspelt;
pub use reconcile::Reconcile;
pub use secret::Secret;
pub use storage::{DEFAULT_DATA_DIR, Storage};
pub use upgrades::Upgrades;
pub use vault::Vault;
pub use vault_auth::{SecretId, VaultAuth};
pub use warm::Warm;

use lookup::Lookup;

use crate::tokens::{Issuer, TokenProfile};

/// Every setting, checked. `Debug` shows no secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where the server listens.
    pub listen: Listen,
    /// Where rows and the generated key live.
    pub storage: Storage,
    /// How access tokens are signed.
    pub jwt: Jwt,
    /// Vault, where there is one.
    pub vault: Option<Vault>,
    /// What rows hold of secrets, and beside them.
    pub digests: Digests,
    /// Which records a login puts into today's form, and how fast.
    pub upgrades: Upgrades,
    /// What clients and agents may use up.
    pub limits: Limits,
    /// What is remembered of secrets that were proved.
    pub warm: Warm,
    /// When audit events are written.
    pub audit: Audit,
    /// How often the rows are compared with Vault.
    pub reconcile: Reconcile,
    /// How connections and requests are handled.
    pub http: Http,
    /// What is logged, and in which form.
    pub log: Log,
    /// What is odd but no reason to refuse: to be logged once the log is up.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads every setting through `get`.
    ///
    /// # Errors
    /// [`ConfigError`] for the first setting that is malformed, missing, or at odds with another one.
    pub fn from_lookup(get: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let lookup = Lookup::new(&get);
        let mut warnings = Vec::new();
        let storage = Storage::read(&lookup, &mut warnings)?;
        let mut config = Self {
            listen: Listen::read(&lookup)?,
            jwt: Jwt::read(&lookup, &storage)?,
            storage,
            vault: Vault::read(&lookup, &mut warnings)?,
            digests: Digests::read(&lookup)?,
            upgrades: Upgrades::read(&lookup)?,
            limits: Limits::read(&lookup)?,
            warm: Warm::read(&lookup)?,
            audit: Audit::read(&lookup)?,
            reconcile: Reconcile::read(&lookup)?,
            http: Http::read(&lookup)?,
            log: Log::read(&lookup)?,
            warnings,
        };
        if config.jwt.profile == TokenProfile::Rfc9068 && config.issuer_warning().is_some() {
            let problem = "is rfc9068, whose tokens name an issuer: set JWT_ISSUER to the URL that clients see";
            return Err(ConfigError::new("TOKEN_PROFILE", problem));
        }
        config.warnings.extend(lookup.warnings());
        Ok(config)
    }

    /// The one issuer: `JWT_ISSUER`, else the address of an embedded start. None where servers could disagree about it, and where
    /// the port is not known yet.
    #[must_use]
    pub fn issuer(&self) -> Option<Issuer> {
        let Listen { host, port, bound } = self.listen;
        let derived = || match bound.unwrap_or(port) {
            0 => None,
            bound if port == 0 => Some(Issuer::on_any_port(SocketAddr::new(host, bound))),
            port => Some(Issuer::new(format!("http://{}", SocketAddr::new(host, port)))),
        };
        match &self.jwt.issuer {
            Some(url) => Some(Issuer::new(url)),
            None => self.derives_issuer().then(derived).flatten(),
        }
    }

    /// The same, listening on `port`.
    pub(crate) fn bound_to(&self, port: u16) -> Self {
        let mut config = self.clone();
        config.listen.bound = Some(port);
        config
    }

    /// The same with another backend for new secrets, which `chosen_by` names.
    ///
    /// # Errors
    /// [`ConfigError`] where a setting is missing that this backend needs.
    pub(crate) fn storing_in(&self, new: NewSecrets, chosen_by: &str) -> Result<Self, ConfigError> {
        let mut config = self.clone();
        config.digests = config.digests.storing_in(new, config.vault.is_some(), chosen_by)?;
        Ok(config)
    }

    /// What a server has to be told that has no issuer.
    #[must_use]
    pub fn issuer_warning(&self) -> Option<&'static str> {
        let lacks = self.jwt.issuer.is_none() && !self.derives_issuer();
        lacks.then_some(
            "JWT_ISSUER is unset, and neither PostgreSQL nor a HOST of every network tells it: tokens have no iss, and \
             /.well-known/oauth-authorization-server answers 404; set it to the URL that clients see",
        )
    }

    /// Whether this server makes the keys of selectors by itself, in the data directory, as it makes its signing key. Where that one
    /// is given there may be no directory to write to.
    #[must_use]
    pub fn makes_selector_keys(&self) -> bool {
        self.digests.mac_keys.is_none() && self.jwt.private_key.is_none()
    }

    /// What a server should be told that has no keys for selectors.
    #[must_use]
    pub fn selector_advice(&self) -> Option<&'static str> {
        let lacks = self.digests.mac_keys.is_none() && self.jwt.private_key.is_some();
        lacks.then_some(
            "MAC_KEYS_FILE is unset, so rows have no selectors, and a wrong secret for a client that has not logged in since the \
             start costs a digest: write `k1:` and what `openssl rand -hex 32` prints into a file, and name it on every server \
             of the database",
        )
    }

    fn derives_issuer(&self) -> bool {
        !self.storage.is_postgres() && !self.listen.host.is_unspecified()
    }
}

#[cfg(test)]
mod tests;
