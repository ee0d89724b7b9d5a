//! What a token allows.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use super::named::named_enum;

named_enum! {
    /// One right.
    Scope {
        /// Read agents and credentials.
        AgentsRead = "agents:read",
        /// Register and change agents, manage credentials.
        AgentsWrite = "agents:write",
        /// Introspect and revoke tokens.
        TokensRead = "tokens:read",
        /// Read the audit trail.
        AuditRead = "audit:read",
    }
}

/// A set of scopes, written as OAuth 2.0 does: separated by one space (RFC 6749 §3.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, ToSchema)]
#[schema(value_type = String, examples("agents:read agents:write tokens:read audit:read"))]
pub struct Scopes(u8);

impl Scopes {
    /// All four; what a token request without `scope` gets.
    pub const ALL: Self = Self(0b1111);

    /// Reads a space-separated list. `None` for an empty list, an unknown scope or a malformed list.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.split(' ').try_fold(Self(0), |set, name| Scope::parse(name).map(|scope| Self(set.0 | Self::bit(scope))))
    }

    /// Whether the set has `scope`.
    #[must_use]
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & Self::bit(scope) != 0
    }

    const fn bit(scope: Scope) -> u8 {
        1 << scope as u8
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for scope in Scope::ALL.iter().filter(|scope| self.contains(**scope)) {
            write!(f, "{separator}{}", scope.as_str())?;
            separator = " ";
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("unknown scope"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_strictly_and_written_in_the_documented_order() {
        assert_eq!(Scopes::parse("audit:read agents:read").unwrap().to_string(), "agents:read audit:read");
        assert_eq!(Scopes::ALL.to_string(), "agents:read agents:write tokens:read audit:read");
        for refused in ["", " ", "agents:read ", "agents:read  audit:read", "admin", "agents:read,audit:read"] {
            assert_eq!(Scopes::parse(refused), None, "{refused:?}");
        }
    }
}
