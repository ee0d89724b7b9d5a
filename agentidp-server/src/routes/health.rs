//! Whether the server and what it depends on are well.

use std::collections::BTreeMap;
use std::time::Duration;

use agentidp_secrets::BackendId;
use hyper::StatusCode;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::ApiResult;
use crate::http::Response;
use crate::http::respond::json;
use crate::ledger::LedgerState;
use crate::vault_token::VaultToken;

/// How long a dependency may take. Load balancers usually wait for some seconds.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// How the server and what it depends on are.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    status: &'static str,
    version: &'static str,
    /// Whole seconds.
    uptime: u64,
    services: BTreeMap<&'static str, &'static str>,
    /// How the database and its folder in Vault stand to each other; none in bcrypt mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger: Option<&'static str>,
}

/// `GET /health`. 503 without the database, because nothing works then; 200 and `degraded` without Vault, because
/// bcrypt-backed credentials still get tokens. Also `degraded`, with Vault connected, once less than a third of the Vault token's
/// life is left: renewing it has failed since two thirds of it, or nobody can. Also `degraded` while the database and its
/// folder in Vault disagree, because then nothing is deleted there.
pub(super) async fn check(app: &App) -> ApiResult<Response> {
    let (database, vault) = tokio::join!(database(app), vault(app));
    let mut services = BTreeMap::from([("database", word(database))]);
    services.extend(vault.map(|vault| ("vault", word(vault))));
    let token_in_danger = app.vault_token.as_ref().is_some_and(VaultToken::is_in_danger);
    let ledger = app.ledger.as_ref().map(|ledger| ledger.gate().state());
    let disagrees = matches!(ledger, Some(LedgerState::Disagrees(_)));
    let health = Health {
        status: if database && vault != Some(false) && !token_in_danger && !disagrees { "ok" } else { "degraded" },
        version: env!("CARGO_PKG_VERSION"),
        uptime: app.clock.instant().saturating_duration_since(app.started).as_secs(),
        services,
        ledger: ledger.map(LedgerState::name),
    };
    Ok(json(if database { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &health))
}

/// Whether the database gives a sign of life in time.
pub(super) async fn database(app: &App) -> bool {
    matches!(timeout(PROBE_TIMEOUT, app.repos.database.ping()).await, Ok(Ok(())))
}

/// None in bcrypt mode.
async fn vault(app: &App) -> Option<bool> {
    app.vault.as_ref()?;
    let probed = timeout(PROBE_TIMEOUT, app.store.probe()).await.unwrap_or_default();
    Some(probed.iter().any(|(backend, outcome)| *backend == BackendId::VAULT_KV2 && outcome.is_ok()))
}

fn word(connected: bool) -> &'static str {
    if connected { "connected" } else { "disconnected" }
}
