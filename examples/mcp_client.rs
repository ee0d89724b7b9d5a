//! An MCP client with a fixed token address, an MCP server that checks its tokens, and the identity provider between them.
//!
//! MCP's released SDKs look for `authorization_endpoint` in the metadata, which a server for machines alone does not have. So the client
//! is told the token address instead of looking for it, and everything else is OAuth as usual.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentidp_secrets::{Clock, SystemClock};
use agentidp_server::config::Config;
use agentidp_server::domain::Scopes;
use agentidp_server::server::{self, Bounds};
use agentidp_server::tokens::OPERATOR;
use agentidp_server::wiring;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Json, Router, routing};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What the client is configured with.
struct Client {
    token_address: String,
    id: String,
    secret: String,
    /// The address of the MCP server, which its tokens are for (RFC 8707).
    resource: String,
    http: reqwest::Client,
    clock: SystemClock,
    /// The last token, and when to get the next one.
    token: Option<(String, Instant)>,
}

impl Client {
    /// The token, or a new one from a minute before it expires.
    async fn token(&mut self) -> Outcome<String> {
        if let Some((token, _)) = self.token.as_ref().filter(|(_, renew)| self.clock.instant() < *renew) {
            return Ok(token.clone());
        }
        let form = [("grant_type", "client_credentials"), ("resource", &self.resource)];
        let request = self.http.post(&self.token_address).basic_auth(&self.id, Some(&self.secret)).form(&form);
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        let token = answer["access_token"].as_str().ok_or("no token")?.to_owned();
        let life = Duration::from_secs(answer["expires_in"].as_u64().ok_or("no expiry")?);
        self.token = Some((token.clone(), self.clock.instant() + life.saturating_sub(Duration::from_secs(60))));
        Ok(token)
    }

    /// A call by MCP's streamable HTTP: JSON-RPC in a POST.
    async fn call(&mut self, method: &str, params: Value) -> Outcome<Value> {
        let token = self.token().await?;
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let accepted = "application/json, text/event-stream";
        let request = self.http.post(&self.resource).bearer_auth(token).header("accept", accepted).json(&message);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }
}

/// The MCP server: it knows the issuer's keys, and accepts what is for its own address.
struct McpServer {
    keys: JwkSet,
    issuer: String,
    address: String,
}

impl McpServer {
    /// Whom the bearer token names.
    fn caller(&self, headers: &HeaderMap) -> Option<String> {
        let token = headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
        let head = decode_header(token).ok()?;
        let key = DecodingKey::from_jwk(self.keys.find(&head.kid?)?).ok()?;
        let mut wanted = Validation::new(jsonwebtoken::Algorithm::ES256);
        wanted.set_issuer(&[&self.issuer]);
        wanted.set_audience(&[&self.address]);
        wanted.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims = decode::<Value>(token, &key, &wanted).ok()?.claims;
        claims["sub"].as_str().map(str::to_owned)
    }
}

async fn answer(
    State(server): State<Arc<McpServer>>,
    headers: HeaderMap,
    Json(message): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    let caller = server.caller(&headers).ok_or(StatusCode::UNAUTHORIZED)?;
    let result = match message["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": "2025-06-18", "capabilities": { "tools": {} },
            "serverInfo": { "name": "example", "version": "1.0.0" },
        }),
        Some("tools/list") => json!({ "tools": [{ "name": "whoami", "inputSchema": { "type": "object" } }] }),
        Some("tools/call") => json!({ "content": [{ "type": "text", "text": caller }] }),
        _ => return Err(StatusCode::NOT_FOUND),
    };
    Ok(Json(json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })))
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let http = reqwest::Client::new();

    // The identity provider, as `agentidp-server` starts it, with an agent that has a credential.
    let (listener, folder) = (TcpListener::bind("127.0.0.1:0").await?, tempfile::tempdir()?);
    let issuer = format!("http://{}", listener.local_addr()?);
    let config = Config::from_lookup(|name| match name {
        "AGENTIDP_DATA_DIR" => Some(folder.path().display().to_string()),
        "JWT_ISSUER" => Some(issuer.clone()),
        "JWT_ALGORITHM" => Some("ES256".to_owned()),
        _ => None,
    })?;
    let app = wiring::build(&config, Arc::new(SystemClock::default()), Duration::from_secs(1)).await?;
    let operator = app.tokens.issue_now(OPERATOR, Scopes::ALL, Duration::from_secs(60), true)?.token;
    tokio::spawn(server::run(Bounds::default(), listener, app, std::future::pending::<()>()));
    let make = async |path: String, body: Value| -> Outcome<Value> {
        let request = http.post(format!("{issuer}/api/v1{path}")).bearer_auth(&operator).json(&body);
        Ok(request.send().await?.error_for_status()?.json().await?)
    };
    let agent = json!({
        "email": "caller@agents.example", "agentType": "custom", "version": "1.0.0", "capabilities": ["mcp:call"],
        "owner": "example", "deploymentEnv": "development",
    });
    let id = make("/agents".to_owned(), agent).await?["agentId"].as_str().ok_or("no id")?.to_owned();
    let made = make(format!("/agents/{id}/credentials"), json!({})).await?;
    let secret = made["clientSecret"].as_str().ok_or("no secret")?.to_owned();

    // The MCP server.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}/mcp", listener.local_addr()?);
    let keys = http.get(format!("{issuer}/.well-known/jwks.json")).send().await?.json().await?;
    let mcp = Arc::new(McpServer { keys, issuer: issuer.clone(), address: address.clone() });
    let routes = Router::new().route("/mcp", routing::post(answer)).with_state(mcp);
    tokio::spawn(async { axum::serve(listener, routes).await });

    // The client: two settings more than an address, and nothing is looked for.
    let token_address = format!("{issuer}/api/v1/token");
    let (id, resource, clock) = (id.clone(), address.clone(), SystemClock::default());
    let mut client = Client { token_address, id: id.clone(), secret, resource, http, clock, token: None };
    let hello = client.call("initialize", json!({ "protocolVersion": "2025-06-18" })).await?;
    println!("connected to {}", hello["result"]["serverInfo"]["name"]);
    println!("tools: {}", client.call("tools/list", json!({})).await?["result"]["tools"][0]["name"]);
    let said = client.call("tools/call", json!({ "name": "whoami" })).await?;
    assert_eq!(said["result"]["content"][0]["text"], *id);
    println!("the server knows the caller as {id}");

    // A token for another resource is none here.
    client.token = None;
    client.resource = issuer;
    let elsewhere = client.token().await?;
    let refused = client.http.post(&address).bearer_auth(elsewhere).json(&json!({})).send().await?.status();
    assert_eq!(refused, 401);
    println!("a token for another server: {refused}");
    Ok(())
}
