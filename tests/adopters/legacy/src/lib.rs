//! A provider with a past: clients are URLs, django-oauth-toolkit has hashed their secrets, others lie in a Vault where another
//! program has put them, and keys have this company's prefix. All of that is settings.

use agentidp_secrets::backends::legacy::LegacyKdf;
use agentidp_secrets::lifecycle::{Failure, Lifecycle};
use agentidp_secrets::vault::VaultKv2Config;
use agentidp_secrets::{CredentialKey, SecretFormat, SecretFormats, SecretStore, StoredSecret};
use agentidp_secrets_sqlx::{Error, PgLedger};
use serde::Deserialize;
use sqlx::PgPool;

pub type Idp = Lifecycle<PgLedger>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What new secrets begin with; a checksum ends them.
    pub key_prefix: String,
    /// Where new secrets live, and those that another program has put there.
    pub vault: VaultKv2Config,
}

impl Settings {
    pub fn store(self) -> agentidp_secrets::Result<SecretStore> {
        let ours = SecretFormat::builder(self.key_prefix).digits(32).checksum().build()?;
        // Secrets from before have other forms.
        let formats = SecretFormats::new(ours).accepting_any_other();
        let vault = self.vault.into_builder().build()?;
        SecretStore::builder(vault).accepts(LegacyKdf::builder().build()?).formats(formats).build()
    }
}

/// Makes the tables. A row in an old form moves to Vault when its client logs in.
pub async fn open(store: SecretStore, pool: PgPool) -> Result<Idp, Error> {
    sqlx::migrate!().run(&pool).await?;
    let ledger = PgLedger::new(pool);
    ledger.migrate().await?;
    Ok(Lifecycle::new(store, ledger, |task| drop(tokio::spawn(task))).with_upgrades(true))
}

/// Takes every application over that has not been yet, with the hash that it has.
pub async fn take_over(idp: &Idp, pool: &PgPool) -> Result<(), Failure<Error>> {
    let rows = sqlx::query_as("SELECT id, client_id, client_secret FROM oauth2_provider_application ORDER BY id");
    let rows: Vec<(i64, String, String)> = rows.fetch_all(pool).await.map_err(|error| Failure::Ledger(error.into()))?;
    for (id, client, hash) in rows {
        let key = CredentialKey::parse(&client, &id.to_string())?;
        match idp.take_over(&key, &StoredSecret::parse(&hash)?, ()).await {
            Ok(_) | Err(Failure::Exists) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}
