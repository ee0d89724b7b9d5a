//! Access tokens: signed, and checked again when they come back.

mod claims;
mod issuer;
mod profile;

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use agentidp_secrets::Clock;
use jsonwebtoken::jwk::JwkSet;
use uuid::Uuid;

pub use self::claims::{Audience, Claims};
pub use self::issuer::Issuer;
pub use self::profile::TokenProfile;

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
    issuer: Option<Issuer>,
    profile: TokenProfile,
    /// The first part of every token, and the point behind it.
    header: String,
    clock: Arc<dyn Clock>,
}

/// What a login gets a token for.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "data of one call")]
pub struct Grant {
    /// The agent.
    pub agent_id: Uuid,
    /// The credential whose secret was proved.
    pub credential_id: Uuid,
    /// The agent's epoch by the rows of that proof.
    pub epoch: i64,
    /// What the token allows.
    pub scope: Scopes,
    /// The resource servers that it is for.
    pub resources: Vec<String>,
    /// How long it lives, in whole seconds.
    pub ttl: Duration,
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
    /// It is not valid yet.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Its key is one of ours, and another server issued it.
    #[error("the token has another issuer")]
    WrongIssuer,
    /// It was not issued by this key, or is no token at all.
    #[error("the token was not issued by this server")]
    Invalid,
}

impl TokenError {
    /// One word for the metrics.
    #[must_use]
    pub fn cause(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongIssuer => "issuer",
            Self::Invalid => "invalid",
        }
    }
}

impl Tokens {
    /// Tokens signed by `key`; `issuer` becomes their `iss`. What one of `accepted` signed is as good.
    #[must_use]
    pub fn new(key: SigningKey, accepted: Vec<VerifyingKey>, issuer: Option<String>, clock: Arc<dyn Clock>) -> Self {
        Self::with_profile(key, accepted, issuer.map(Issuer::new), TokenProfile::Jwt, clock)
    }

    /// As [`new`](Self::new), with tokens of this form.
    #[must_use]
    pub fn with_profile(
        key: SigningKey,
        accepted: Vec<VerifyingKey>,
        issuer: Option<Issuer>,
        profile: TokenProfile,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let mut verifying = vec![key.public().clone()];
        for key in accepted {
            if verifying.iter().all(|known| known.kid() != key.kid()) {
                verifying.push(key);
            }
        }
        let keys = JwkSet { keys: verifying.iter().map(|key| key.jwk().clone()).collect() };
        // Infallible: nothing but texts is in it.
        let jwks = serde_json::to_string(&keys).unwrap_or_default();
        let header = key.header(profile.typ());
        let pool = (key.algorithm() == KeyAlgorithm::Rs256).then(|| {
            let (threads, key) = (thread::available_parallelism().map_or(1, usize::from), key.clone());
            Pool::new(threads, MAX_WAITING, move |unsigned| key.sign(unsigned))
        });
        Self(Arc::new(Inner { key, pool, verifying, jwks, issuer, profile, header, clock }))
    }

    /// Issues a token for a login, without holding up the thread for long.
    ///
    /// # Errors
    /// `Busy` when too many wait for a signature already, `Failed` when the key cannot sign, which a key that was read
    /// successfully always can.
    pub async fn issue(&self, grant: Grant) -> Result<IssuedToken, SignError> {
        let subject = grant.agent_id.to_string();
        let claims = Claims {
            aud: self.audience(grant.resources),
            cid: Some(grant.credential_id),
            agentidp_epoch: Some(grant.epoch),
            ..self.claims(&subject, grant.scope, grant.ttl, false)
        };
        let unsigned = self.0.key.unsigned(&self.0.header, &claims)?;
        let token = match &self.0.pool {
            Some(pool) => pool.sign(unsigned).await?,
            None => self.0.key.sign(unsigned)?,
        };
        Ok(IssuedToken { token, claims })
    }

    /// A token that names no credential, signed in place. For the command line, tests, and operators.
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
        let token = self.0.key.sign(self.0.key.unsigned(&self.0.header, &claims)?)?;
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
            nbf: None,
            iss: self.issuer().map(|issuer| issuer.url().to_owned()),
            aud: self.audience(Vec::new()),
            cid: None,
            agentidp_epoch: None,
            agentidp_operator: operator,
        }
    }

    fn audience(&self, resources: Vec<String>) -> Option<Audience> {
        match self.0.profile {
            TokenProfile::Rfc9068 if resources.is_empty() => {
                self.issuer().map(|issuer| Audience::One(issuer.url().to_owned()))
            }
            _ => Audience::of(resources),
        }
    }

    /// Checks what [`read`](Self::read) does, the end and the beginning. Without leeway: our own clock set them. Whether the
    /// token was revoked is for the database to say.
    ///
    /// # Errors
    /// `Expired` and `NotYetValid` for a token of ours at another time, and those of [`read`](Self::read).
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let claims = self.read(token)?;
        let now = Timestamp::from(self.0.clock.now()).unix_seconds();
        if now >= claims.exp {
            return Err(TokenError::Expired);
        }
        if claims.nbf.is_some_and(|begin| now < begin) {
            return Err(TokenError::NotYetValid);
        }
        Ok(claims)
    }

    /// Checks the header, the signature by that key's own algorithm, the issuer and the subject, and no time. For what must not
    /// depend on a clock that may be wrong. A token without an issuer is from before the server had one, and is accepted.
    ///
    /// # Errors
    /// `WrongIssuer`; `Invalid` for anything that is no token of ours.
    pub fn read(&self, token: &str) -> Result<Claims, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        // We understand no critical extension (RFC 7515 §4.1.11), and sign nothing but access tokens (RFC 8725 §3.11).
        if header.crit.is_some() || !header.typ.as_deref().is_some_and(is_access_token) {
            return Err(TokenError::Invalid);
        }
        let key = header.kid.and_then(|kid| self.0.verifying.iter().find(|key| key.kid() == kid));
        let claims: Claims = key.ok_or(TokenError::Invalid)?.claims(token).map_err(|_| TokenError::Invalid)?;
        let subject_is_sound =
            claims.sub == claims.client_id && (claims.agentidp_operator || claims.agent_id().is_some());
        if !subject_is_sound {
            return Err(TokenError::Invalid);
        }
        if claims.iss.as_deref().is_some_and(|iss| !self.is_ours(iss)) {
            return Err(TokenError::WrongIssuer);
        }
        Ok(claims)
    }

    /// Whether our own endpoints are among those that the token is for.
    #[must_use]
    pub fn is_for_us(&self, claims: &Claims) -> bool {
        let Some(audience) = &claims.aud else { return true };
        audience.iter().any(|resource| self.is_ours(resource))
    }

    fn is_ours(&self, issuer: &str) -> bool {
        self.0.issuer.as_ref().is_some_and(|ours| ours.is(issuer))
    }

    /// Every accepted key as a JSON Web Key Set (RFC 7517), that which signs first.
    #[must_use]
    pub fn jwks(&self) -> &str {
        &self.0.jwks
    }

    /// The one issuer of this server, where it has one.
    #[must_use]
    pub fn issuer(&self) -> Option<&Issuer> {
        self.0.issuer.as_ref()
    }
}

/// Whether a `typ` names a token of ours, in one of its two forms. Media types may leave `application/` out and have no case
/// (RFC 7515 §4.1.9).
fn is_access_token(typ: &str) -> bool {
    ["JWT", "at+jwt", "application/at+jwt"].iter().any(|known| known.eq_ignore_ascii_case(typ))
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
