//! The crate `oauth2` against a server, whose address and client the environment names.

use std::error::Error;
use std::time::Duration;

use oauth2::basic::{BasicClient, BasicErrorResponseType};
use oauth2::{
    AccessToken, AuthType, ClientId, ClientSecret, HttpRequest, HttpResponse, IntrospectionUrl, RequestTokenError,
    RevocationUrl, Scope, StandardRevocableToken, TokenIntrospectionResponse, TokenResponse, TokenUrl, ureq,
};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    for (name, method) in [("basic", AuthType::BasicAuth), ("body", AuthType::RequestBody)] {
        life_of_a_token(method)?;
        println!("  oauth2 (Rust), {name}: token, introspection, revocation, refusal");
    }
    Ok(())
}

fn life_of_a_token(method: AuthType) -> Outcome {
    let [issuer, id, secret] = ["ISSUER", "CLIENT_ID", "CLIENT_SECRET"].map(|name| std::env::var(name).unwrap());
    let agent = ureq::AgentBuilder::new().redirects(0).build();
    let http = |request: HttpRequest| send(&agent, request);
    let client = |secret: &str| {
        Ok::<_, Box<dyn Error>>(
            BasicClient::new(ClientId::new(id.clone()))
                .set_client_secret(ClientSecret::new(secret.to_owned()))
                .set_auth_type(method.clone())
                .set_token_uri(TokenUrl::new(format!("{issuer}/api/v1/token"))?)
                .set_introspection_url(IntrospectionUrl::new(format!("{issuer}/api/v1/token/introspect"))?)
                .set_revocation_url(RevocationUrl::new(
                    format!("{issuer}/api/v1/token/revoke").replace("http:", "https:"),
                )?),
        )
    };

    let ours = client(&secret)?;
    let granted = ours.exchange_client_credentials().add_scope(Scope::new("agents:read".to_owned())).request(&http)?;
    assert_eq!(granted.expires_in(), Some(Duration::from_secs(3600)));
    assert_eq!(granted.scopes().map(|scopes| scopes[0].as_str()), Some("agents:read"));
    let token: &AccessToken = granted.access_token();
    let known = ours.introspect(token).request(&http)?;
    assert!(known.active() && known.iss() == Some(&issuer) && known.client_id().map(|id| id.as_str()) == Some(&id));
    ours.revoke_token(StandardRevocableToken::AccessToken(token.clone()))?.request(&http)?;
    assert!(!ours.introspect(token).request(&http)?.active());

    match client("sk_live_wrong")?.exchange_client_credentials().request(&http) {
        Err(RequestTokenError::ServerResponse(error)) => {
            assert_eq!(error.error(), &BasicErrorResponseType::InvalidClient);
        }
        other => panic!("a wrong secret: {other:?}"),
    }
    Ok(())
}

/// Sends a request, since the crate's own way over `ureq` hides the body of every refusal. The crate revokes over TLS only: here
/// the address says so, and the request goes out without.
fn send(agent: &ureq::Agent, request: HttpRequest) -> Result<HttpResponse, std::io::Error> {
    let (head, body) = request.into_parts();
    let mut sent = agent.request(head.method.as_str(), &head.uri.to_string().replace("https:", "http:"));
    for (name, value) in &head.headers {
        sent = sent.set(name.as_str(), value.to_str().map_err(std::io::Error::other)?);
    }
    let answer = match sent.send_bytes(&body) {
        Ok(answer) | Err(ureq::Error::Status(_, answer)) => answer,
        Err(error) => return Err(std::io::Error::other(error)),
    };
    let mut response = HttpResponse::new(Vec::new());
    *response.status_mut() = answer.status().try_into().map_err(std::io::Error::other)?;
    if let Some(value) = answer.header("content-type") {
        response.headers_mut().insert("content-type", value.parse().map_err(std::io::Error::other)?);
    }
    std::io::Read::read_to_end(&mut answer.into_reader(), response.body_mut())?;
    Ok(response)
}
