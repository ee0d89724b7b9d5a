//! Puts the server together: the only place that knows every part.
//!
//! Vault that cannot be reached at start is no reason not to start: bcrypt-backed credentials do without it, and
//! Vault-backed ones work again by themselves once it is back. What waiting would not mend (a mount that is missing or
//! of KV version 1, a dead token) stops the start.

mod data_dir;
mod digest_threads;
mod error;
mod layers;
mod ledger;
mod selector_keys;
mod shortfall;
mod signing;
mod vault;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use agentidp_secrets::backends::{Argon2id, Bcrypt, KeyedDigest};
use agentidp_secrets::folder::FolderGate;
use agentidp_secrets::layers::{FairSemaphore, WarmLayer};
use agentidp_secrets::{Clock, MacKeys, SecretStore, SecretStoreBuilder, SharedBackend};
use agentidp_secrets_sqlx::replicas::LeaseClock;
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub(crate) use data_dir::{missing_database, refuse_missing_database};
pub use error::StartError;
pub(crate) use ledger::ledger;
pub(crate) use selector_keys::selector_keys;
pub(crate) use shortfall::{lacking, newer, unconfigured};
pub use signing::tokens;
pub(crate) use vault::backend as vault_backend;

use self::data_dir::{data_dir, unusable};
use self::signing::tokens_of_a_command;
use crate::app::{App, Settings};
use crate::config::{Config, NewSecrets, Vault};
use crate::dependencies::Dependencies;
use crate::horizon::Horizon;
use crate::ledger_clock::LedgerClock;
use crate::metrics::Metrics;
use crate::rate_limit::RateLimiter;
use crate::repo::{self, LIST_CONNECTIONS, Repos};
use crate::tokens::Tokens;
use crate::vault_token::VaultToken;

/// Opens and migrates the database, reads the key, tries Vault, and puts all of it together. Deletions in Vault wait until
/// the folder's ledger entry was watched for `ledger_watch`.
///
/// # Errors
/// [`StartError`], which names the setting and the mend.
pub async fn build(config: &Config, clock: Arc<dyn Clock>, ledger_watch: Duration) -> Result<Arc<App>, StartError> {
    let parts = Parts::open(config, clock, |config, clock| tokens(config, config.issuer(), clock)).await?;
    parts.repos.database.migrate().await.map_err(|error| StartError::database(config, &error))?;
    let schema = parts.repos.database.schema().await.map_err(|error| StartError::database(config, &error))?;
    shortfall::warn_of_schema(&schema);
    selector_keys::make(config);
    let app = assemble(config, parts, ledger_watch).await?;
    ledger::refuse_the_folder_of_another(config, &app).await?;
    shortfall::warn_of_unconfigured(config, &app).await?;
    // Before the first request: what it writes must not decide where the horizon of an older database begins.
    app.horizon
        .advance(&*app.repos.retention, &*app.clock)
        .await
        .map_err(|error| StartError::database(config, &error))?;
    Ok(app)
}

/// As [`build`], on the database as it is: for a command. Makes neither a database nor a key.
///
/// # Errors
/// As [`build`].
pub(crate) async fn build_as_is(
    config: &Config,
    clock: Arc<dyn Clock>,
    ledger_watch: Duration,
) -> Result<Arc<App>, StartError> {
    refuse_missing_database(config)?;
    assemble(config, Parts::open(config, clock, tokens_of_a_command).await?, ledger_watch).await
}

/// What there has to be before the database is brought up to date.
struct Parts {
    tokens: Tokens,
    metrics: Metrics,
    repos: Repos,
    clock: Arc<LedgerClock>,
}

impl Parts {
    async fn open(
        config: &Config,
        clock: Arc<dyn Clock>,
        tokens: impl FnOnce(&Config, Arc<dyn Clock>) -> Result<Tokens, StartError>,
    ) -> Result<Self, StartError> {
        let clock = Arc::new(LedgerClock::new(clock));
        let tokens = tokens(config, Arc::clone(&clock) as _)?;
        let metrics = Metrics::new();
        let repos = open_repos(config, &(Arc::clone(&clock) as _), &metrics).await?;
        clock.read(&*repos.database).await.map_err(|error| StartError::database(config, &error))?;
        Ok(Self { tokens, metrics, repos, clock })
    }
}

async fn assemble(config: &Config, parts: Parts, ledger_watch: Duration) -> Result<Arc<App>, StartError> {
    let Parts { tokens, metrics, repos, clock: ledger_clock } = parts;
    let clock = Arc::clone(&ledger_clock) as Arc<dyn Clock>;
    let repos = with_row_cache(repos, config, &metrics)?;
    let repos = repos.with_group_commit(config.audit.mode, Arc::new(metrics.clone()));
    let (store, vault_token) = secret_store(config, &clock, &metrics).await?;
    // Ahead of the first unknown client, whose answer would else be told apart by its time.
    store.prepare().await?;
    let ledger = config
        .vault
        .as_ref()
        .zip(vault_token.as_ref())
        .map(|(settings, token)| ledger(settings, token.client().clone(), &repos, &clock, ledger_watch));
    let gate = ledger.as_ref().map_or_else(FolderGate::always_open, |ledger| ledger.gate().clone());
    let app = App {
        settings: settings(config),
        store,
        upgrades: config.upgrades.on_verify,
        life: OnceLock::new(),
        vault: config.vault.as_ref().map(vault::place),
        vault_client: vault_token.as_ref().map(VaultToken::client).cloned(),
        vault_token,
        gate,
        ledger,
        repos,
        tokens,
        limiter: RateLimiter::with(config.limits.rates, Arc::clone(&clock)),
        metrics,
        started: clock.instant(),
        dependencies: Dependencies::default(),
        stopping: CancellationToken::new(),
        clock,
        ledger_clock: Some(ledger_clock),
        horizon: Horizon::default(),
        list_turns: FairSemaphore::new(LIST_CONNECTIONS as usize),
    };
    Ok(Arc::new(app))
}

/// Opens the database as it is, without bringing it up to date; `metrics` get the time of each operation.
///
/// # Errors
/// [`StartError`] when it cannot be reached or its file cannot be made.
pub async fn open_repos(config: &Config, clock: &Arc<dyn Clock>, metrics: &Metrics) -> Result<Repos, StartError> {
    let embedded;
    let url = match &config.storage.database_url {
        Some(url) => url.expose_secret(),
        None => {
            embedded = data_dir(config)?.database_url().map_err(|error| unusable(config, &error))?;
            &embedded
        }
    };
    repo::open_observed(url, Arc::clone(clock), Arc::new(metrics.clone()))
        .await
        .map_err(|error| StartError::database(config, &error))
}

/// Rows in memory, where the database tells of changes; elsewhere this server's own changes are
/// counted.
fn with_row_cache(repos: Repos, config: &Config, metrics: &Metrics) -> Result<Repos, StartError> {
    // The embedded database is a file that no other server changes.
    let url = config.storage.database_url.as_ref().map_or("sqlite:", |url| url.expose_secret());
    let (capacity, metrics) = (config.storage.row_cache_capacity, Arc::new(metrics.clone()));
    repos
        .with_row_cache(url, capacity, LeaseClock::machine(), metrics)
        .map_err(|error| StartError::database(config, &error))
}

/// The backend for new secrets, and every other one that may have records in the rows; and the token for Vault, to be looked
/// after. `metrics` tell whether Vault is given up on for now.
///
/// # Errors
/// [`StartError`] naming the setting that cannot work.
pub async fn secret_store(
    config: &Config,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<(SecretStore, Option<VaultToken>), StartError> {
    let warm = layers::warm(config.warm, clock)?;
    let bcrypt = Bcrypt::builder().cost(config.limits.bcrypt_cost).limits(digest_threads::limits(config.digests.floor));
    let (bcrypt, argon2) =
        (bcrypt.build()?, Argon2id::builder().limits(digest_threads::limits(config.digests.floor)).build()?);
    metrics.digests("bcrypt", bcrypt.load());
    metrics.digests("argon2", argon2.load());
    let bcrypt = layers::around_digests(bcrypt, warm.as_ref(), metrics);
    let argon2 = layers::around_digests(argon2, warm.as_ref(), metrics);
    let keyed = config.digests.mac_keys.clone();
    let keyed = keyed.map(|keys| layers::around_digests(KeyedDigest::new(keys), None, metrics));
    let (vault, token) = match &config.vault {
        Some(settings) => {
            let (vault, token) = vault_and_token(config, settings, warm.as_ref(), clock, metrics).await?;
            (Some(vault), Some(token))
        }
        None => (None, None),
    };
    // The configuration has refused a backend for new secrets that is not there.
    let (primary, accepted) = match (config.digests.new, vault, keyed) {
        (NewSecrets::Vault, Some(vault), keyed) => (vault, [Some(bcrypt), keyed]),
        (NewSecrets::Keyed, vault, Some(keyed)) => (keyed, [Some(bcrypt), vault]),
        (_, vault, keyed) => (bcrypt, [vault, keyed]),
    };
    let accepted = accepted.into_iter().flatten().chain([argon2]);
    let store = accepted.fold(SecretStore::builder(primary), SecretStoreBuilder::accepts);
    let store = selector_keys(config)?.into_iter().fold(store, SecretStoreBuilder::selector_keys);
    Ok((store.clock(Arc::clone(clock)).build()?, token))
}

/// Vault with its layers, tried once.
async fn vault_and_token(
    config: &Config,
    settings: &Vault,
    warm: Option<&WarmLayer>,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<(SharedBackend, VaultToken), StartError> {
    let vault = vault::backend(settings, clock)?;
    if let Some(outage) = vault::refuse_unless_usable(&vault, settings).await? {
        warn!(error = %outage, "Vault cannot be asked: credentials in Vault get no tokens until it can");
    }
    let token = VaultToken::new(vault.clone());
    metrics.with_vault();
    // Without a lifetime or a stale window nothing of Vault's is remembered, so there is nothing to look up either.
    let warm = warm.filter(|_| config.warm.holds_vault());
    let breaker = layers::vault_breaker(clock, metrics);
    Ok((layers::around_vault(vault, settings, warm, &breaker, metrics), token))
}

fn settings(config: &Config) -> Settings {
    Settings {
        agent_limit: config.limits.agents,
        credential_limit: config.limits.credentials,
        monthly_token_limit: config.limits.monthly_tokens,
        max_overlap: config.limits.max_overlap,
        previous_secret_idle: config.limits.previous_secret_idle,
        end_idle_overlaps: config.limits.end_idle_overlaps,
        trusted_proxies: config.http.trusted_proxies.clone(),
        cors_origin: config.http.cors_origin.clone(),
        request_timeout: config.http.request_timeout,
        reconcile_interval: config.reconcile.interval,
        upgrade_rate: config.upgrades.rate,
        upgrade_except: Arc::clone(&config.upgrades.except),
        mac_key_ids: config.digests.mac_keys.iter().flat_map(MacKeys::ids).map(|id| id.to_string()).collect(),
        ..Settings::default()
    }
}
