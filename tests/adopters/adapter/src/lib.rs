//! An identity provider on axum and PostgreSQL, with the tables of `agentidp-secrets-sqlx`: it has no line of a ledger.
//!
//! Who may call the routes under `/agents` is left out.

use std::time::Duration;

use agentidp_secrets::lifecycle::{Change, Decision, Failure, Lifecycle, Row};
use agentidp_secrets::{ClientId, ClientSecret, CredentialKey, SecretStore};
use agentidp_secrets_sqlx::{Error, PgLedger, PgTx};
use async_trait::async_trait;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post, put};
use axum::{Form, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgPool;

#[derive(Clone)]
pub struct Idp {
    life: Lifecycle<PgLedger>,
    pool: PgPool,
}

impl Idp {
    /// Makes the tables, ours and the adapter's.
    pub async fn open(store: SecretStore, pool: PgPool) -> Result<Self, Error> {
        sqlx::migrate!().run(&pool).await?;
        let ledger = PgLedger::new(pool.clone());
        ledger.migrate().await?;
        // Each sequence runs to its end as a task of tokio's, also when its client hangs up.
        let life = Lifecycle::new(store, ledger, |task| drop(tokio::spawn(task)));
        Ok(Self { life, pool })
    }

    /// Has backends forget what has ended, until `stop` is ready. Run it in a task beside the server.
    pub async fn work(&self, stop: impl Future<Output = ()> + Send) {
        self.life.work(stop).await;
    }
}

pub fn router(idp: Idp) -> Router {
    Router::new()
        .route("/token", post(token))
        .route("/agents/{agent}/active", put(set_active))
        .route("/agents/{agent}/credentials", post(issue))
        .route("/agents/{agent}/credentials/{credential}/rotate", post(rotate))
        .route("/agents/{agent}/credentials/{credential}/previous", delete(end_previous))
        .route("/agents/{agent}/credentials/{credential}", delete(end))
        .with_state(idp)
}

/// What is written in the transaction of each change.
struct Audited(&'static str);

#[async_trait]
impl Change<PgLedger> for Audited {
    async fn after(&self, tx: &mut PgTx, row: &Row) -> Result<(), Error> {
        let agent =
            sqlx::query("SELECT FROM agents WHERE agent_id = $1::text::bigint").bind(row.key.client_id().as_str());
        if agent.fetch_optional(&mut **tx).await?.is_none() {
            return Err(Error::refuse("there is no such agent"));
        }
        audit(tx, row.key.client_id(), Some(&row.key), self.0).await
    }
}

async fn audit(tx: &mut PgTx, agent: &ClientId, key: Option<&CredentialKey>, event: &str) -> Result<(), Error> {
    let insert = sqlx::query("INSERT INTO audit (agent_id, credential_id, event) VALUES ($1, $2, $3)");
    let insert = insert.bind(agent.as_str()).bind(key.map(|key| key.credential_id().as_str())).bind(event);
    insert.execute(&mut **tx).await?;
    Ok(())
}

async fn issue(State(idp): State<Idp>, Path(agent): Path<i64>) -> Answer {
    let credential: i64 = sqlx::query_scalar("SELECT nextval('credential_ids')").fetch_one(&idp.pool).await?;
    let shown = idp.life.issue(&key(agent, credential)?, Audited("issued")).await?;
    Ok(shown_once(json!({ "credential_id": credential, "secret": shown.secret.expose_secret() })))
}

#[derive(Deserialize)]
struct Rotation {
    #[serde(default)]
    overlap_seconds: u32,
}

async fn rotate(State(idp): State<Idp>, Path((agent, id)): Path<(i64, i64)>, Json(ask): Json<Rotation>) -> Answer {
    let overlap = Duration::from_secs(ask.overlap_seconds.into());
    let shown = idp.life.rotate(&key(agent, id)?, overlap, Audited("rotated")).await?;
    Ok(shown_once(json!({ "secret": shown.secret.expose_secret() })))
}

async fn end_previous(State(idp): State<Idp>, Path((agent, id)): Path<(i64, i64)>) -> Answer {
    idp.life.end_previous(&key(agent, id)?, Audited("overlap ended")).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn end(State(idp): State<Idp>, Path((agent, id)): Path<(i64, i64)>) -> Answer {
    idp.life.end(&key(agent, id)?, Audited("ended")).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A suspended agent gets no token once this is committed, also where a login is under way.
async fn set_active(State(idp): State<Idp>, Path(agent): Path<i64>, Json(active): Json<bool>) -> Answer {
    let agent = ClientId::parse(&agent.to_string())?;
    let mut tx = idp.pool.begin().await?;
    idp.life.ledger().set_active(&mut tx, &agent, active).await?;
    audit(&mut tx, &agent, None, if active { "resumed" } else { "suspended" }).await?;
    tx.commit().await?;
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
    let Decision::Proved(proof) = idp.life.authenticate(&client, &secret).await? else { return Err(refusal) };
    // Sign a real token here. Write the audit event, too: nothing may wait between the second look and the answer.
    let token = json!({ "access_token": format!("a token for {}", proof.key()), "token_type": "Bearer" });
    let Decision::Proved(_) = idp.life.still_counts(proof, &secret).await? else { return Err(refusal) };
    Ok(shown_once(token))
}

fn key(agent: i64, credential: i64) -> agentidp_secrets::Result<CredentialKey> {
    CredentialKey::parse(&agent.to_string(), &credential.to_string())
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
            Failure::Busy => Self(StatusCode::SERVICE_UNAVAILABLE, "another change is under way"),
            Failure::Ledger(Error::Refused(_)) => Self(StatusCode::CONFLICT, "refused"),
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

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<agentidp_secrets::Error> for Refusal {
    fn from(error: agentidp_secrets::Error) -> Self {
        Failure::Backend(error).into()
    }
}
