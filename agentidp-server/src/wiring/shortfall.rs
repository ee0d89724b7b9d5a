//! What a start lacks, and does without: it serves what it can, and says the rest in one line each.

use std::fmt;

use tracing::{error, warn};

use super::StartError;
use crate::app::App;
use crate::config::Config;
use crate::repo::{Backends, Schema};
use crate::workers::census;

/// Logs what the schema has that this server does not know, and what this server may not do with it.
pub(super) fn warn_of_schema(schema: &Schema) {
    if let Some(problem) = newer(schema) {
        warn!("the database has {problem}");
    }
    if let Some(problem) = lacking(schema) {
        error!("the database role {problem}");
    }
}

/// That a newer release has used the database.
pub(crate) fn newer(schema: &Schema) -> Option<String> {
    let versions: Vec<String> = schema.unknown.iter().map(ToString::to_string).collect();
    (!versions.is_empty()).then(|| {
        format!(
            "migrations that this release does not know ({}): a newer one has used it; run that one on every server once the \
             update is over",
            versions.join(", ")
        )
    })
}

/// Which rights on tables are missing.
pub(crate) fn lacking(schema: &Schema) -> Option<String> {
    let lacking = schema.lacking.join(", ");
    (!lacking.is_empty()).then(|| {
        format!("lacks {lacking}: GRANT them to it as the owner of the tables, or what needs them answers 503")
    })
}

/// Logs how many active credentials no backend of this server can verify.
pub(super) async fn warn_of_unconfigured(config: &Config, app: &App) -> Result<(), StartError> {
    let held = app.repos.drift.backends().await.map_err(|error| StartError::database(config, &error))?;
    census::tell(app, &held);
    census::deadlines(app).await;
    for needed in unconfigured(config, &held) {
        let (credentials, fix) = (needed.credentials, needed.fix());
        warn!(
            credentials,
            "{credentials} active credentials need {needed}, which is not configured: they get no tokens; {fix}"
        );
    }
    Ok(())
}

/// What active credentials need, and no setting names.
#[derive(Debug)]
pub(crate) struct Unconfigured {
    /// The backend.
    pub(crate) backend: &'static str,
    /// The id of its key, where that is what is missing.
    pub(crate) key: Option<String>,
    /// How many need it.
    pub(crate) credentials: u64,
}

impl Unconfigured {
    /// What to do.
    pub(crate) fn fix(&self) -> String {
        match &self.key {
            Some(key) => format!("add the key {key} to MAC_KEYS_FILE"),
            None => "set VAULT_ADDR".to_owned(),
        }
    }
}

impl fmt::Display for Unconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{} with the key {key}", self.backend),
            None => f.write_str(self.backend),
        }
    }
}

/// The backends and keys that are not configured, of those that active credentials need.
pub(crate) fn unconfigured(config: &Config, held: &Backends) -> Vec<Unconfigured> {
    let vault = Unconfigured { backend: "vault-kv2", key: None, credentials: held.vault };
    let vault = (config.vault.is_none() && held.vault > 0).then_some(vault);
    let has = |id: &str| config.digests.mac_keys.iter().any(|keys| keys.ids().any(|known| known.to_string() == id));
    let keys = held.keys.iter().filter(|(id, _)| !has(id)).map(|(id, credentials)| Unconfigured {
        backend: "keyed-digest",
        key: Some(id.clone()),
        credentials: *credentials,
    });
    vault.into_iter().chain(keys).collect()
}
