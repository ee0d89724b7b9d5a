//! What a start lacks, and does without: it serves what it can, and says the rest in one line each.

use std::fmt;

use tracing::{error, warn};

use super::StartError;
use super::vault::place;
use crate::app::App;
use crate::config::Config;
use crate::repo::{self, Backends, DriftRepo, Schema};
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
    let counted = async {
        let held = app.repos.drift.backends().await?;
        census::tell(app, &held);
        unconfigured(config, &*app.repos.drift, &held).await
    };
    let unconfigured = counted.await.map_err(|error| StartError::database(config, &error))?;
    census::outside(app).await;
    census::deadlines(app).await;
    for needed in unconfigured {
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
    part: Part,
    /// How many need it.
    pub(crate) credentials: u64,
}

/// What of it is missing.
#[derive(Debug)]
enum Part {
    /// All of it.
    All,
    /// The key of this id.
    Key(String),
    /// Another folder than this one.
    Folder(String),
}

impl Unconfigured {
    /// What is missing, where the backend is named before.
    pub(crate) fn part(&self) -> String {
        match &self.part {
            Part::All => "it".to_owned(),
            Part::Key(id) => format!("its key {id}"),
            Part::Folder(ours) => format!("a folder in it other than {ours}"),
        }
    }

    /// What to do.
    pub(crate) fn fix(&self) -> String {
        match &self.part {
            Part::All => "set VAULT_ADDR".to_owned(),
            Part::Key(id) => format!("add the key {id} to MAC_KEYS_FILE"),
            Part::Folder(_) => "correct VAULT_KV_MOUNT and VAULT_PREFIX, or rotate these credentials".to_owned(),
        }
    }
}

impl fmt::Display for Unconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            Part::All => f.write_str(self.backend),
            Part::Key(id) => write!(f, "{} with the key {id}", self.backend),
            Part::Folder(ours) => write!(f, "{} in a folder other than {ours}", self.backend),
        }
    }
}

/// The backends, keys and folders that are not configured, of those that active credentials need.
pub(crate) async fn unconfigured(
    config: &Config,
    drift: &dyn DriftRepo,
    held: &Backends,
) -> repo::Result<Vec<Unconfigured>> {
    let (part, credentials) = match &config.vault {
        None => (Part::All, held.vault),
        Some(vault) => (Part::Folder(vault.folder()), drift.outside(&place(vault).path()).await?),
    };
    let vault = (credentials > 0).then_some(Unconfigured { backend: "vault-kv2", part, credentials });
    let has = |id: &str| config.digests.mac_keys.iter().any(|keys| keys.ids().any(|known| known.to_string() == id));
    let keys = held.keys.iter().filter(|(id, _)| !has(id)).map(|(id, credentials)| Unconfigured {
        backend: "keyed-digest",
        part: Part::Key(id.clone()),
        credentials: *credentials,
    });
    Ok(vault.into_iter().chain(keys).collect())
}
