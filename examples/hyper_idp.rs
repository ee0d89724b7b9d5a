//! A token endpoint on hyper. It serves on a free port, asks itself for a token, and ends.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use agentidp_secrets::backends::Bcrypt;
use agentidp_secrets::{ClientSecret, CredentialKey, CredentialSecrets, SecretStore, VerifyError};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A token request is short.
const BODY_LIMIT: usize = 8 * 1024;

struct Idp {
    store: SecretStore,
    /// Your database: the active, unexpired credentials of each client.
    clients: HashMap<String, Vec<(CredentialKey, CredentialSecrets)>>,
}

impl Idp {
    async fn token(&self, request: Request<Incoming>) -> (StatusCode, Value) {
        let Ok(body) = Limited::new(request.into_body(), BODY_LIMIT).collect().await else {
            return refuse(StatusCode::BAD_REQUEST, "invalid_request");
        };
        let body = body.to_bytes();
        let mut form: HashMap<_, _> = form_urlencoded::parse(&body).into_owned().collect();
        let (Some(client), Some(secret)) = (form.remove("client_id"), form.remove("client_secret")) else {
            return refuse(StatusCode::BAD_REQUEST, "invalid_request");
        };
        // Nobody is known by this name: an empty slice costs what a wrong secret does.
        let credentials = self.clients.get(&client).map_or(&[][..], Vec::as_slice);
        match self.store.verify_any(credentials, &ClientSecret::from(secret)).await {
            Ok(_proof) => (StatusCode::OK, json!({ "access_token": uuid::Uuid::new_v4(), "token_type": "Bearer" })),
            Err(VerifyError::Mismatch) => refuse(StatusCode::UNAUTHORIZED, "invalid_client"),
            // An outage is never answered as a wrong secret.
            Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
        }
    }
}

fn refuse(status: StatusCode, error: &str) -> (StatusCode, Value) {
    (status, json!({ "error": error }))
}

async fn serve(listener: TcpListener, idp: Arc<Idp>) -> std::io::Result<()> {
    loop {
        let (stream, _peer) = listener.accept().await?;
        let idp = Arc::clone(&idp);
        let service = service_fn(move |request| {
            let idp = Arc::clone(&idp);
            async move {
                let (status, body) = idp.token(request).await;
                Response::builder()
                    .status(status)
                    .header("content-type", "application/json")
                    .header("cache-control", "no-store")
                    .body(Full::new(Bytes::from(body.to_string())))
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = SecretStore::builder(Bcrypt::builder().build()?).build()?;
    store.prepare().await?;
    let key = CredentialKey::parse("agent-7", "credential-1")?;
    let issued = store.issue(&key).await?;
    let clients = HashMap::from([("agent-7".to_owned(), vec![(key, issued.stored.into())])]);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let token_endpoint = format!("http://{}/token", listener.local_addr()?);
    tokio::spawn(serve(listener, Arc::new(Idp { store, clients })));

    for secret in [issued.secret.expose_secret(), "a guess"] {
        let form = [("grant_type", "client_credentials"), ("client_id", "agent-7"), ("client_secret", secret)];
        let answer = reqwest::Client::new().post(&token_endpoint).form(&form).send().await?;
        println!("{} {}", answer.status(), answer.text().await?);
    }
    Ok(())
}
