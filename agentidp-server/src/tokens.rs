//! Access tokens: signed, and checked again when they come back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::Clock;
use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{Scopes, Timestamp};
use crate::keys::{KeyError, SigningKey};

/// `sub` and `client_id` of operator tokens. No agent has it: agents are named by UUIDs.
pub const OPERATOR: &str = "operator";

/// Issues and verifies tokens with one key. Cheap to clone.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    key: SigningKey,
    issuer: Option<String>,
    clock: Arc<dyn Clock>,
    validation: Validation,
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
    /// Tokens signed by `key`; `issuer` becomes their `iss`.
    #[must_use]
    pub fn new(key: SigningKey, issuer: Option<String>, clock: Arc<dyn Clock>) -> Self {
        let mut validation = Validation::new(Algorithm::RS256);
        // Our own clock decides, in `verify`.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        Self(Arc::new(Inner { key, issuer, clock, validation }))
    }

    /// Issues a token for `subject` that lives for `ttl`, in whole seconds.
    ///
    /// # Errors
    /// When the key cannot sign, which a key that was read successfully always can.
    pub fn issue(&self, subject: &str, scope: Scopes, ttl: Duration, operator: bool) -> Result<IssuedToken, KeyError> {
        let now = Timestamp::from(self.0.clock.now());
        let claims = Claims {
            sub: subject.to_owned(),
            client_id: subject.to_owned(),
            scope,
            jti: Uuid::new_v4(),
            iat: now.unix_seconds(),
            exp: now.plus(ttl).unix_seconds(),
            iss: self.0.issuer.clone(),
            agentidp_operator: operator,
        };
        let token = self.0.key.sign(&claims)?;
        Ok(IssuedToken { token, claims })
    }

    /// Checks the algorithm, the key id, the signature and the end, without leeway: it was our own clock that set it.
    /// Whether the token was revoked is for the database to say.
    ///
    /// # Errors
    /// `Expired` for a token of ours that is over, `Invalid` for anything else.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        if header.kid.as_deref() != Some(self.0.key.kid()) {
            return Err(TokenError::Invalid);
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.0.key.public, &self.0.validation)
            .map_err(|_| TokenError::Invalid)?
            .claims;
        if !claims.agentidp_operator && claims.agent_id().is_none() {
            return Err(TokenError::Invalid);
        }
        if Timestamp::from(self.0.clock.now()).unix_seconds() >= claims.exp {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }

    /// The public key as a JSON Web Key Set.
    #[must_use]
    pub fn jwks(&self) -> &str {
        self.0.key.jwks()
    }

    /// The configured issuer.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.0.issuer.as_deref()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("key", &self.0.key).field("issuer", &self.0.issuer).finish_non_exhaustive()
    }
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken").field("token", &"[REDACTED]").field("claims", &self.claims).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::time::SystemTime;

    use agentidp_secrets::ManualClock;
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::{Value, json};

    use super::*;

    const AGENT: &str = "0b7a0f3e-6f6b-4f0e-9d7e-5a4f3c2b1a00";

    /// Generating a key takes a second without optimisation: one for all tests.
    fn pem() -> &'static str {
        static PEM: OnceLock<String> = OnceLock::new();
        PEM.get_or_init(|| SigningKey::generate_pem().unwrap().to_string())
    }

    fn key() -> SigningKey {
        SigningKey::from_pem(pem()).unwrap()
    }

    fn private(pem: &str) -> EncodingKey {
        EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
    }

    fn tokens() -> (Tokens, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000)));
        (Tokens::new(key(), Some("https://idp.example".to_owned()), Arc::clone(&clock) as Arc<dyn Clock>), clock)
    }

    /// Signs claims that `Tokens::issue` would not.
    fn forge(kid: Option<&str>, algorithm: Algorithm, secret: &EncodingKey, change: impl FnOnce(&mut Value)) -> String {
        let mut header = Header::new(algorithm);
        header.kid = kid.map(str::to_owned);
        let mut claims = json!({
            "sub": AGENT, "client_id": AGENT, "scope": "agents:read", "jti": Uuid::new_v4(), "iat": 0,
            "exp": 2_000_000_000_u32,
        });
        change(&mut claims);
        jsonwebtoken::encode(&header, &claims, secret).unwrap()
    }

    #[test]
    fn a_token_says_what_is_documented_until_the_second_it_ends() {
        let (tokens, clock) = tokens();
        let issued = tokens.issue(AGENT, Scopes::ALL, Duration::from_secs(3600), false).unwrap();
        let header = jsonwebtoken::decode_header(&issued.token).unwrap();
        assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::RS256, Some("JWT")));
        assert_eq!(header.kid.as_deref(), Some(key().kid()));

        let claims = serde_json::to_value(&issued.claims).unwrap();
        let names: Vec<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["client_id", "exp", "iat", "iss", "jti", "scope", "sub"]);
        assert_eq!((&claims["sub"], &claims["client_id"]), (&json!(AGENT), &json!(AGENT)));
        assert_eq!((&claims["iat"], &claims["exp"]), (&json!(1_900_000_000), &json!(1_900_003_600)));

        clock.advance(Duration::from_secs(3599));
        assert_eq!(tokens.verify(&issued.token).unwrap(), issued.claims);
        clock.advance(Duration::from_secs(1));
        assert_eq!(tokens.verify(&issued.token), Err(TokenError::Expired));
    }

    #[test]
    fn only_operator_tokens_carry_the_operators_claim() {
        let (tokens, _) = tokens();
        let operator = tokens.issue(OPERATOR, Scopes::ALL, Duration::from_secs(60), true).unwrap();
        let claims = tokens.verify(&operator.token).unwrap();
        assert!(claims.agentidp_operator && claims.agent_id().is_none());
        assert_eq!(serde_json::to_value(claims).unwrap()["agentidp_operator"], json!(true));
    }

    #[test]
    fn what_this_key_did_not_sign_is_invalid() {
        let (tokens, _) = tokens();
        let (ours, our_private, rs256) = (key(), private(pem()), Algorithm::RS256);
        let kid = Some(ours.kid());
        assert!(
            tokens.verify(&forge(kid, rs256, &our_private, |_| {})).is_ok(),
            "the forger is able to make a good one"
        );

        let foreign = private(&SigningKey::generate_pem().unwrap());
        let public = EncodingKey::from_secret(ours.jwks().as_bytes());
        let good = forge(kid, rs256, &our_private, |_| {});
        let (head, signature) = good.rsplit_once('.').unwrap();
        let other = forge(kid, rs256, &our_private, |claims| claims["scope"] = json!("agents:write"));
        let (other_head, _) = other.rsplit_once('.').unwrap();
        // {"alg":"none","typ":"JWT","kid":…}
        let none = |signature: &str| {
            let encode = |part: Value| {
                use base64::Engine;
                base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(part.to_string())
            };
            let header = encode(json!({ "alg": "none", "typ": "JWT", "kid": ours.kid() }));
            format!("{header}.{}.{signature}", head.split_once('.').unwrap().1)
        };
        for (what, token) in [
            ("another key", forge(kid, rs256, &foreign, |_| {})),
            ("another key id", forge(Some("other"), rs256, &our_private, |_| {})),
            ("no key id", forge(None, rs256, &our_private, |_| {})),
            ("another RSA algorithm", forge(kid, Algorithm::RS512, &our_private, |_| {})),
            ("HS256 with the public key", forge(kid, Algorithm::HS256, &public, |_| {})),
            ("alg none without a signature", none("")),
            ("alg none with a signature", none(signature)),
            ("a signature of other claims", format!("{other_head}.{signature}")),
            ("no signature", format!("{head}.")),
            ("two parts", head.to_owned()),
            ("an empty text", String::new()),
            ("a sub that is no agent", forge(kid, rs256, &our_private, |claims| claims["sub"] = json!("operator"))),
            ("no exp", forge(kid, rs256, &our_private, |claims| _ = claims.as_object_mut().unwrap().remove("exp"))),
            ("an unknown scope", forge(kid, rs256, &our_private, |claims| claims["scope"] = json!("admin"))),
        ] {
            assert_eq!(tokens.verify(&token), Err(TokenError::Invalid), "{what}");
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let (tokens, _) = tokens();
        let issued = tokens.issue(AGENT, Scopes::ALL, Duration::from_secs(60), false).unwrap();
        assert!(!format!("{issued:?} {issued:#?} {tokens:?}").contains(&issued.token));
    }
}
