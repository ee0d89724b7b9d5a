//! A token endpoint on axum. It serves on a free port, asks itself for a token, and ends.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use agentidp_secrets::backends::Bcrypt;
use agentidp_secrets::{ClientSecret, CredentialKey, CredentialSecrets, SecretStore, VerifyError};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Form, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

struct Idp {
    store: SecretStore,
    /// Your database: the active, unexpired credentials of each client.
    clients: HashMap<String, Vec<(CredentialKey, CredentialSecrets)>>,
}

// No `Debug`: it would show the secret.
#[derive(Deserialize)]
struct TokenRequest {
    client_id: String,
    client_secret: String,
}

async fn token(State(idp): State<Arc<Idp>>, Form(request): Form<TokenRequest>) -> impl IntoResponse {
    // Nobody is known by this name: an empty slice costs what a wrong secret does.
    let credentials = idp.clients.get(&request.client_id).map_or(&[][..], Vec::as_slice);
    let (status, body) = match idp.store.verify_any(credentials, &ClientSecret::from(request.client_secret)).await {
        Ok(_proof) => (StatusCode::OK, json!({ "access_token": uuid::Uuid::new_v4(), "token_type": "Bearer" })),
        Err(VerifyError::Mismatch) => refuse(StatusCode::UNAUTHORIZED, "invalid_client"),
        // An outage is never answered as a wrong secret.
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
    };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body))
}

fn refuse(status: StatusCode, error: &str) -> (StatusCode, Value) {
    (status, json!({ "error": error }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = SecretStore::builder(Bcrypt::builder().build()?).build()?;
    store.prepare().await?;
    let key = CredentialKey::parse("agent-7", "credential-1")?;
    let issued = store.issue(&key).await?;
    let clients = HashMap::from([("agent-7".to_owned(), vec![(key, issued.stored.into())])]);

    let router = Router::new().route("/token", post(token)).with_state(Arc::new(Idp { store, clients }));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let token_endpoint = format!("http://{}/token", listener.local_addr()?);
    tokio::spawn(axum::serve(listener, router).into_future());

    for secret in [issued.secret.expose_secret(), "a guess"] {
        let form = [("grant_type", "client_credentials"), ("client_id", "agent-7"), ("client_secret", secret)];
        let answer = reqwest::Client::new().post(&token_endpoint).form(&form).send().await?;
        println!("{} {}", answer.status(), answer.text().await?);
    }
    Ok(())
}
