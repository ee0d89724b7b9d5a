//! What paths name.

use crate::http;

/// The well-known name of RFC 8414, before the path of the issuer.
const SERVER_METADATA: &str = "/.well-known/oauth-authorization-server";

/// The resource at a path. Ids are as the client wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource<'p> {
    Agents,
    Agent(&'p str),
    Credentials(&'p str),
    Credential(&'p str, &'p str),
    Rotation(&'p str, &'p str),
    PreviousSecret(&'p str, &'p str),
    Token,
    Introspection,
    Revocation,
    AuditEvents,
    AuditEvent(&'p str),
    Health,
    Ready,
    Metrics,
    Jwks,
    /// With what follows the well-known name.
    ServerMetadata(&'p str),
    OpenApi,
    Unknown,
}

impl<'p> Resource<'p> {
    /// What a request's path names: what is at it, or what is at the rest of it behind the path of the issuer. The metadata put the
    /// endpoints there, and a proxy in front of the server may leave that path in place. Probes and metrics are not for clients
    /// and stay at the root.
    pub(super) fn of(path: &'p str, issuer_path: &str) -> Self {
        match (Self::at(path), path.strip_prefix(issuer_path)) {
            (Self::Unknown, Some(rest)) => match Self::at(rest) {
                Self::Health | Self::Ready | Self::Metrics => Self::Unknown,
                found => found,
            },
            (found, _) => found,
        }
    }

    /// What is at `path`.
    pub(super) fn at(path: &'p str) -> Self {
        // An issuer's path may be written in more ways than our own paths: the handler compares it as a whole.
        if let Some(rest) = path.strip_prefix(SERVER_METADATA)
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return Self::ServerMetadata(rest);
        }
        let segments = http::segments(path).unwrap_or_default();
        match *segments.as_slice() {
            ["api", "v1", "agents"] => Self::Agents,
            ["api", "v1", "agents", agent] => Self::Agent(agent),
            ["api", "v1", "agents", agent, "credentials"] => Self::Credentials(agent),
            ["api", "v1", "agents", agent, "credentials", credential] => Self::Credential(agent, credential),
            ["api", "v1", "agents", agent, "credentials", credential, "rotate"] => Self::Rotation(agent, credential),
            ["api", "v1", "agents", agent, "credentials", credential, "previous"] => {
                Self::PreviousSecret(agent, credential)
            }
            ["api", "v1", "token"] => Self::Token,
            ["api", "v1", "token", "introspect"] => Self::Introspection,
            ["api", "v1", "token", "revoke"] => Self::Revocation,
            ["api", "v1", "audit"] => Self::AuditEvents,
            ["api", "v1", "audit", event] => Self::AuditEvent(event),
            ["health"] => Self::Health,
            ["ready"] => Self::Ready,
            ["metrics"] => Self::Metrics,
            [".well-known", "jwks.json"] => Self::Jwks,
            ["openapi.json"] => Self::OpenApi,
            _ => Self::Unknown,
        }
    }

    /// The path with names instead of ids: what metrics and the log may show.
    pub(super) fn pattern(self) -> &'static str {
        self.pattern_and_methods().0
    }

    /// The value of `Allow`.
    pub(super) fn methods(self) -> &'static str {
        self.pattern_and_methods().1
    }

    fn pattern_and_methods(self) -> (&'static str, &'static str) {
        const READ: &str = "GET, HEAD, OPTIONS";
        const POST: &str = "OPTIONS, POST";
        match self {
            Self::Agents => ("/api/v1/agents", "GET, HEAD, OPTIONS, POST"),
            Self::Agent(_) => ("/api/v1/agents/{agentId}", "DELETE, GET, HEAD, OPTIONS, PATCH"),
            Self::Credentials(_) => ("/api/v1/agents/{agentId}/credentials", "GET, HEAD, OPTIONS, POST"),
            Self::Credential(..) => ("/api/v1/agents/{agentId}/credentials/{credentialId}", "DELETE, OPTIONS"),
            Self::Rotation(..) => ("/api/v1/agents/{agentId}/credentials/{credentialId}/rotate", POST),
            Self::PreviousSecret(..) => {
                ("/api/v1/agents/{agentId}/credentials/{credentialId}/previous", "DELETE, OPTIONS")
            }
            Self::Token => ("/api/v1/token", POST),
            Self::Introspection => ("/api/v1/token/introspect", POST),
            Self::Revocation => ("/api/v1/token/revoke", POST),
            Self::AuditEvents => ("/api/v1/audit", READ),
            Self::AuditEvent(_) => ("/api/v1/audit/{eventId}", READ),
            Self::Health => ("/health", READ),
            Self::Ready => ("/ready", READ),
            Self::Metrics => ("/metrics", READ),
            Self::Jwks => ("/.well-known/jwks.json", READ),
            Self::ServerMetadata(_) => (SERVER_METADATA, READ),
            Self::OpenApi => ("/openapi.json", READ),
            Self::Unknown => ("unknown", ""),
        }
    }
}

/// A path of each resource, with names for ids.
#[cfg(test)]
pub(super) const PATHS: [&str; 17] = [
    "/api/v1/agents",
    "/api/v1/agents/agentId",
    "/api/v1/agents/agentId/credentials",
    "/api/v1/agents/agentId/credentials/credentialId",
    "/api/v1/agents/agentId/credentials/credentialId/rotate",
    "/api/v1/agents/agentId/credentials/credentialId/previous",
    "/api/v1/token",
    "/api/v1/token/introspect",
    "/api/v1/token/revoke",
    "/api/v1/audit",
    "/api/v1/audit/eventId",
    "/health",
    "/ready",
    "/metrics",
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/openapi.json",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_the_path_with_names_for_ids() {
        for path in PATHS {
            assert_eq!(Resource::at(path).pattern().replace(['{', '}'], ""), path);
        }
    }

    #[test]
    fn whole_segments_of_the_issuer_s_path_may_lead_to_all_but_probes() {
        let issuer = "/tenants/a";
        for path in PATHS {
            let resource = Resource::at(path);
            assert_eq!(Resource::of(path, issuer), resource, "{path}");
            let below = if ["/health", "/ready", "/metrics"].contains(&path) { Resource::Unknown } else { resource };
            assert_eq!(Resource::of(&format!("{issuer}{path}"), issuer), below, "{path}");
        }
        for path in [
            "/tenants/a",
            "/tenants/a/",
            "/tenants/aapi/v1/token",
            "/tenants/ab/api/v1/token",
            "/tenants/A/api/v1/token",
            "/tenants/a/tenants/a/api/v1/token",
            "/tenants/a//api/v1/token",
            "/tenants/a/../api/v1/token",
            "/tenants/api/v1/token",
        ] {
            assert_eq!(Resource::of(path, issuer), Resource::Unknown, "{path}");
        }
        assert_eq!(Resource::of("/api/v1/token", "/api/v1"), Resource::Token, "what is at the root stays there");
    }

    #[test]
    fn nothing_is_at_paths_that_are_written_in_another_way() {
        for path in [
            "/",
            "",
            "/api/v1",
            "/api/v1/agents/",
            "/API/v1/agents",
            "/api//v1/agents",
            "/api/v1/./agents",
            "/api/v1/x/../agents",
            "/api/v1/agents/%2e%2e/token",
            "/api/v1/agents/a%2fcredentials",
            "/api/v1/%61gents",
            "/api/v1/agents/a/credentials;v=1",
            "/health/../metrics",
        ] {
            assert_eq!(Resource::at(path), Resource::Unknown, "{path}");
        }
    }

    #[test]
    fn an_id_is_whatever_the_client_wrote() {
        for id in ["not%20a%20uuid", "a@b.example", "a:b", "a%00"] {
            assert_eq!(Resource::at(&format!("/api/v1/agents/{id}")), Resource::Agent(id));
        }
    }
}
