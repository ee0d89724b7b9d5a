//! Access tokens: signed, and checked again when they come back.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use agentidp_secrets::Clock;
use jsonwebtoken::jwk::JwkSet;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{Scopes, Timestamp};
use crate::keys::{KeyAlgorithm, Pool, SignError, SigningKey, VerifyingKey};

/// `sub` and `client_id` of operator tokens. No agent has it: agents are named by UUIDs.
pub const OPERATOR: &str = "operator";

/// The longest life of a token. Only an operator's may live for so long.
pub const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// How many tokens may wait for an RSA signature. At 0.27 ms each the last one waits 0.3 s on one
/// core.
const MAX_WAITING: usize = 1024;

/// Issues tokens with one key, and verifies them with that one and those that are accepted beside it. Cheap to clone.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    key: SigningKey,
    /// Where an RSA key signs: it takes 0.27 ms, which would hold up whatever else the thread has to answer. The others
    /// take 11 to 17 us, about what handing them to another thread costs, and sign in place.
    pool: Option<Pool>,
    /// That of `key` first, then those that are accepted beside it; no two have one key id.
    verifying: Vec<VerifyingKey>,
    jwks: String,
    issuer: Option<String>,
    clock: Arc<dyn Clock>,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the documented claims")]
pub struct Claims {
    /// The agent, or [`OPERATOR`].
    pub sub: String,
    /// The same, under its OAuth name.
    pub client_id: String,
    /// What the token allows.
    pub scope: Scopes,
    /// The token's id.
    pub jti: Uuid,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// Who issued it, where that is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Whether it is an operator's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub agentidp_operator: bool,
}

impl Claims {
    /// The agent whose token it is; none for an operator's.
    #[must_use]
    pub fn agent_id(&self) -> Option<Uuid> {
        if self.agentidp_operator { None } else { Uuid::parse_str(&self.sub).ok() }
    }

    /// When the token ends.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from(std::time::UNIX_EPOCH).plus(Duration::from_secs(u64::try_from(self.exp).unwrap_or(0)))
    }
}

/// A token and what it says. `Debug` hides the token.
#[non_exhaustive]
pub struct IssuedToken {
    /// The token, to be given to its owner and to nobody else.
    pub token: String,
    /// What it says.
    pub claims: Claims,
}

/// Why a token is not accepted. Callers answer all of them alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is over.
    #[error("the token has expired")]
    Expired,
    /// It was not issued by this key, or is no token at all.
    #[error("the token was not issued by this server")]
    Invalid,
}

impl Tokens {
    /// Tokens signed by `key`; `issuer` becomes their `iss`. What one of `accepted` signed is as good.
    #[must_use]
    pub fn new(key: SigningKey, accepted: Vec<VerifyingKey>, issuer: Option<String>, clock: Arc<dyn Clock>) -> Self {
        let mut verifying = vec![key.public().clone()];
        for key in accepted {
            if verifying.iter().all(|known| known.kid() != key.kid()) {
                verifying.push(key);
            }
        }
        let keys = JwkSet { keys: verifying.iter().map(|key| key.jwk().clone()).collect() };
        // Infallible: nothing but texts is in it.
        let jwks = serde_json::to_string(&keys).unwrap_or_default();
        let pool = (key.algorithm() == KeyAlgorithm::Rs256).then(|| {
            let (threads, key) = (thread::available_parallelism().map_or(1, usize::from), key.clone());
            Pool::new(threads, MAX_WAITING, move |unsigned| key.sign(unsigned))
        });
        Self(Arc::new(Inner { key, pool, verifying, jwks, issuer, clock }))
    }

    /// Issues a token for `subject` that lives for `ttl`, in whole seconds, without holding up the thread for long.
    ///
    /// # Errors
    /// `Busy` when too many wait for a signature already, `Failed` when the key cannot sign, which a key that was read
    /// successfully always can.
    pub async fn issue(&self, subject: &str, scope: Scopes, ttl: Duration) -> Result<IssuedToken, SignError> {
        let claims = self.claims(subject, scope, ttl, false);
        let unsigned = self.0.key.unsigned(&claims)?;
        let token = match &self.0.pool {
            Some(pool) => pool.sign(unsigned).await?,
            None => self.0.key.sign(unsigned)?,
        };
        Ok(IssuedToken { token, claims })
    }

    /// The same in place, for the command line and for tests, and for an operator too.
    ///
    /// # Errors
    /// `Failed`, as above.
    pub fn issue_now(
        &self,
        subject: &str,
        scope: Scopes,
        ttl: Duration,
        operator: bool,
    ) -> Result<IssuedToken, SignError> {
        let claims = self.claims(subject, scope, ttl, operator);
        let token = self.0.key.sign(self.0.key.unsigned(&claims)?)?;
        Ok(IssuedToken { token, claims })
    }

    fn claims(&self, subject: &str, scope: Scopes, ttl: Duration, operator: bool) -> Claims {
        let now = Timestamp::from(self.0.clock.now());
        Claims {
            sub: subject.to_owned(),
            client_id: subject.to_owned(),
            scope,
            jti: Uuid::new_v4(),
            iat: now.unix_seconds(),
            exp: now.plus(ttl).unix_seconds(),
            iss: self.0.issuer.clone(),
            agentidp_operator: operator,
        }
    }

    /// Checks the key id, the signature by that key's own algorithm and the end, without leeway: it was our own clock that set it.
    /// Whether the token was revoked is for the database to say.
    ///
    /// # Errors
    /// `Expired` for a token of ours that is over, `Invalid` for anything else.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let claims = self.read(token)?;
        if Timestamp::from(self.0.clock.now()).unix_seconds() >= claims.exp {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }

    /// Checks the key id and the signature, and not the end. For what must not depend on a clock that may be wrong.
    ///
    /// # Errors
    /// `Invalid` for anything that is no token of ours.
    pub fn read(&self, token: &str) -> Result<Claims, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        let key = header.kid.and_then(|kid| self.0.verifying.iter().find(|key| key.kid() == kid));
        let claims = key.ok_or(TokenError::Invalid)?.claims(token)?;
        if !claims.agentidp_operator && claims.agent_id().is_none() {
            return Err(TokenError::Invalid);
        }
        Ok(claims)
    }

    /// Every accepted key as a JSON Web Key Set (RFC 7517), that which signs first.
    #[must_use]
    pub fn jwks(&self) -> &str {
        &self.0.jwks
    }

    /// The configured issuer.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.0.issuer.as_deref()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("key", &self.0.key)
            .field("pool", &self.0.pool)
            .field("verifying", &self.0.verifying)
            .field("issuer", &self.0.issuer)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken").field("token", &"[REDACTED]").field("claims", &self.claims).finish()
    }
}

#[cfg(test)]
mod tests;
