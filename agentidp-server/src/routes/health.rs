//! Whether the server and what it depends on are well.

use std::collections::BTreeMap;

use agentidp_secrets::folder::FolderState;
use hyper::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::dependencies::Vault;
use crate::http::Response;
use crate::http::respond::json;
use crate::vault_token::VaultToken;

/// How the server and what it depends on are.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    status: &'static str,
    version: &'static str,
    /// Whole seconds.
    uptime: u64,
    services: BTreeMap<&'static str, &'static str>,
    /// What is wrong with a service that is connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
    /// How the database and its folder in Vault stand to each other; none in bcrypt mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger: Option<&'static str>,
}

/// `GET /health`. 503 without the database, or while it takes no writes, because nothing works then; 200 and `degraded`
/// without Vault, because bcrypt-backed credentials still get tokens. Also `degraded`, with Vault connected, once less than a
/// third of the Vault token's life is left: renewing it has failed since two thirds of it, or nobody can. Also `degraded`
/// while the database and its folder in Vault disagree, or cannot be compared, because then nothing is deleted there.
pub(super) fn check(app: &App) -> Response {
    let now = app.clock.instant();
    let database = app.dependencies.database(now);
    let vault = app.vault.is_some().then(|| app.dependencies.vault(now) == Some(Vault::Up));
    let mut services = BTreeMap::from([("database", word(database.answers))]);
    services.extend(vault.map(|vault| ("vault", word(vault))));
    let token_in_danger = app.vault_token.as_ref().is_some_and(VaultToken::is_in_danger);
    let ledger = app.ledger.as_ref().map(|ledger| ledger.gate().state());
    let stopped = match ledger {
        Some(FolderState::Disagrees(_)) => true,
        // With Vault there, the policy does not let this server write where it notes that the folder is its own.
        Some(FolderState::Unknown) => vault == Some(true),
        _ => false,
    };
    let well = database.writes && vault != Some(false) && !token_in_danger && !stopped;
    let health = Health {
        status: if well { "ok" } else { "degraded" },
        version: env!("CARGO_PKG_VERSION"),
        uptime: now.saturating_duration_since(app.started).as_secs(),
        services,
        problem: (database.answers && !database.writes).then_some("the database takes no writes"),
        ledger: ledger.map(FolderState::name),
    };
    json(if database.writes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &health)
}

fn word(connected: bool) -> &'static str {
    if connected { "connected" } else { "disconnected" }
}
