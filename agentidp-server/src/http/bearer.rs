//! Bearer tokens (RFC 6750), in the `Authorization` header and nowhere else.

use hyper::header::{AUTHORIZATION, HeaderMap};

use super::authorization::of_scheme;
use crate::app::App;
use crate::domain::{AgentStatus, CredentialStatus};
use crate::error::{ApiError, ApiResult, Challenge};
use crate::tokens::Claims;

/// The claims of a sound token: ours and for us, not over, not revoked, of an agent and a credential that are active.
///
/// # Errors
/// `Unauthorized` when it is not; `DatabaseUnavailable` when the database cannot be asked.
pub async fn authenticate(app: &App, headers: &HeaderMap) -> ApiResult<Claims> {
    let token = token(headers).map_err(|challenge| match challenge {
        Challenge::Invalid => refused(app, "invalid", "the header is malformed"),
        missing => ApiError::Unauthorized(missing),
    })?;
    let claims = app.tokens.verify(token).map_err(|error| refused(app, error.cause(), error))?;
    if !app.tokens.is_for_us(&claims) {
        return Err(refused(app, "audience", "its audience lacks our issuer"));
    }
    if is_live(app, &claims).await? {
        return Ok(claims);
    }
    Err(refused(app, "ended", "it was revoked, or its agent or its credential is not active"))
}

/// The client is not told why. The line of its request is, and the metrics count it.
fn refused(app: &App, cause: &'static str, reason: impl std::fmt::Display) -> ApiError {
    app.metrics.token_refused(cause);
    tracing::Span::current().record("refused", tracing::field::display(reason));
    ApiError::Unauthorized(Challenge::Invalid)
}

/// Whether the database knows nothing against a token that is otherwise sound: it was not revoked, its agent is active and was
/// not suspended since, its credential is active.
///
/// # Errors
/// `DatabaseUnavailable` when the database cannot be asked.
pub async fn is_live(app: &App, claims: &Claims) -> ApiResult<bool> {
    let bearer = app.repos.tokens.bearer(claims.jti, claims.agent_id(), claims.cid).await?;
    let agent = claims.agentidp_operator || bearer.agent_status == Some(AgentStatus::Active);
    let epoch = claims.agentidp_epoch.is_none_or(|epoch| bearer.token_epoch == Some(epoch));
    let credential = claims.cid.is_none() || bearer.credential_status == Some(CredentialStatus::Active);
    Ok(!bearer.revoked && agent && epoch && credential)
}

/// The token of the one `Authorization` header.
fn token(headers: &HeaderMap) -> Result<&str, Challenge> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Challenge::Missing)?;
    if values.next().is_some() {
        return Err(Challenge::Invalid);
    }
    let token = of_scheme(value.as_bytes(), "bearer").ok_or(Challenge::Missing)?;
    let is_sound = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let token = Some(token).filter(|token| !token.is_empty() && token.iter().all(is_sound));
    token.and_then(|token| std::str::from_utf8(token).ok()).ok_or(Challenge::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<String, Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        token(&headers).map(str::to_owned)
    }

    #[test]
    fn one_header_one_scheme_one_token() {
        assert_eq!(read(&["Bearer a.b.c"]).as_deref(), Ok("a.b.c"));
        assert_eq!(read(&["bearer   a.b.c"]).as_deref(), Ok("a.b.c"), "RFC 9110 §11.4");
        assert_eq!(read(&[]), Err(Challenge::Missing));
        for another in ["Basic YTpi", "Bearer\ta", ""] {
            assert_eq!(read(&[another]), Err(Challenge::Missing), "{another:?}");
        }
        for refused in ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Bearer \ta", "Bearer a\"b"] {
            assert_eq!(read(&[refused]), Err(Challenge::Invalid), "{refused:?}");
        }
        assert_eq!(read(&["Bearer a.b.c", "Bearer a.b.c"]), Err(Challenge::Invalid));
    }
}
