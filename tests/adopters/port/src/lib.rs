//! An identity provider on axum and PostgreSQL, over tables that were there before.
//!
//! What the lifecycle needs of them is in `ledger.rs`; what the provider writes beside a change is in `audit.rs`. Who may call the
//! routes under `/agents` is left out.

mod audit;
mod error;
mod folders;
mod ledger;
mod usage;

use std::time::Duration;

use agentidp_secrets::lifecycle::{Decision, Failure, Lifecycle};
use agentidp_secrets::{ClientId, ClientSecret, SecretStore};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use axum::{Form, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgPool;

use self::audit::Audited;
pub use self::error::Error;
pub use self::ledger::{AgentLedger, key};

pub type Idp = Lifecycle<AgentLedger>;

/// While a client has used it within so long, the secret before a rotation is ended only by force.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// Each sequence runs to its end as a task of tokio's, also when its client hangs up. Run `idp.work(stop)` in a task beside the
/// server: there backends forget what has ended, and it is written when secrets were last used.
pub fn idp(store: SecretStore, pool: PgPool) -> Idp {
    Lifecycle::new(store, AgentLedger(pool), |task| drop(tokio::spawn(task))).with_usage()
}

pub fn router(idp: Idp) -> Router {
    Router::new()
        .route("/token", post(token))
        .route("/agents/{agent}/credentials", post(issue))
        .route("/agents/{agent}/credentials/{credential}/rotate", post(rotate))
        .route("/agents/{agent}/credentials/{credential}/previous", delete(end_previous))
        .route("/agents/{agent}/credentials/{credential}", delete(end))
        .with_state(idp)
}

async fn issue(State(idp): State<Idp>, Path(agent_id): Path<i64>) -> Answer {
    let new_id = sqlx::query_scalar("SELECT nextval('credential_ids')").fetch_one(&idp.ledger().0);
    let credential_id: i64 = new_id.await.map_err(Error::from)?;
    let shown = idp.issue(&key(agent_id, credential_id)?, Audited { agent_id, event: "issued" }).await?;
    Ok(shown_once(json!({ "credential_id": credential_id, "secret": shown.secret.expose_secret() })))
}

#[derive(Deserialize)]
struct Rotation {
    #[serde(default)]
    overlap_seconds: u32,
}

async fn rotate(State(idp): State<Idp>, Path((agent_id, id)): Path<(i64, i64)>, Json(ask): Json<Rotation>) -> Answer {
    let overlap = Duration::from_secs(ask.overlap_seconds.into());
    let shown = idp.rotate(&key(agent_id, id)?, overlap, Audited { agent_id, event: "rotated" }).await?;
    Ok(shown_once(json!({ "secret": shown.secret.expose_secret() })))
}

#[derive(Deserialize)]
struct Ending {
    #[serde(default)]
    force: bool,
}

async fn end_previous(
    State(idp): State<Idp>,
    Path((agent_id, id)): Path<(i64, i64)>,
    Query(Ending { force }): Query<Ending>,
) -> Answer {
    let idle = if force { Duration::ZERO } else { IDLE };
    let audited = Audited { agent_id, event: "overlap ended" };
    idp.end_previous_unless_used(&key(agent_id, id)?, idle, audited).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn end(State(idp): State<Idp>, Path((agent_id, id)): Path<(i64, i64)>) -> Answer {
    idp.end(&key(agent_id, id)?, Audited { agent_id, event: "ended" }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

// No `Debug`: it would show the secret.
#[derive(Deserialize)]
struct TokenRequest {
    client_id: String,
    client_secret: String,
}

async fn token(State(idp): State<Idp>, Form(request): Form<TokenRequest>) -> Answer {
    let refusal = Refusal(StatusCode::UNAUTHORIZED, "invalid_client");
    let Ok(client) = ClientId::parse(&request.client_id) else { return Err(refusal) };
    let secret = ClientSecret::from(request.client_secret);
    let Decision::Proved(proof) = idp.authenticate(&client, &secret).await? else { return Err(refusal) };
    // Sign a real token here. Write the audit event, too: nothing may wait between the second look and the answer.
    let token = json!({ "access_token": format!("a token for {}", proof.key()), "token_type": "Bearer" });
    let Decision::Proved(_) = idp.still_counts(proof, &secret).await? else { return Err(refusal) };
    Ok(shown_once(token))
}

fn shown_once(body: Value) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

type Answer = Result<Response, Refusal>;

struct Refusal(StatusCode, &'static str);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

/// An outage is never answered as a wrong secret.
impl From<Failure<Error>> for Refusal {
    fn from(failure: Failure<Error>) -> Self {
        match failure {
            Failure::NotFound => Self(StatusCode::NOT_FOUND, "no such credential"),
            Failure::Ended => Self(StatusCode::CONFLICT, "the credential has ended"),
            Failure::NoPrevious => Self(StatusCode::NOT_FOUND, "no previous secret"),
            Failure::PreviousInUse(_) => Self(StatusCode::CONFLICT, "a client still uses the previous secret"),
            Failure::Busy => Self(StatusCode::SERVICE_UNAVAILABLE, "another change is under way"),
            Failure::Ledger(Error::NotActive) => Self(StatusCode::CONFLICT, "the agent is not active"),
            failure => {
                eprintln!("{failure}");
                Self(StatusCode::INTERNAL_SERVER_ERROR, "server_error")
            }
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Failure::Ledger(error).into()
    }
}
