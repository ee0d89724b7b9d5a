//! What a token says.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::{Scopes, Timestamp};

/// The claims of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(clippy::exhaustive_structs, reason = "the documented claims")]
pub struct Claims {
    /// The agent, or `operator`.
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
    /// When it begins, in seconds since 1970. Tokens of this server begin at once and have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// The issuer, where the server has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// The resource servers that the token is for; none: any that trusts the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
    /// The credential whose secret was proved. Operator tokens have none, nor have those of releases before it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cid: Option<Uuid>,
    /// How often the agent had been suspended before. Absent where `cid` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agentidp_epoch: Option<i64>,
    /// Whether it is an operator's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub agentidp_operator: bool,
}

/// The value of `aud`: one text, or a list (RFC 7519 §4.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(clippy::exhaustive_enums, reason = "the two forms of RFC 7519")]
pub enum Audience {
    /// One resource server.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Audience {
    /// The audience of these resource servers; none where there is none.
    pub(super) fn of(mut resources: Vec<String>) -> Option<Self> {
        match resources.len() {
            0 => None,
            1 => resources.pop().map(Self::One),
            _ => Some(Self::Several(resources)),
        }
    }

    /// The resource servers in it.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let all = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        };
        all.iter().map(String::as_str)
    }
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
