//! What clients do.

use std::time::Duration;

use agentidp_secrets::layers::Outcome as Verified;
use agentidp_secrets::lifecycle::Event;
use agentidp_secrets::{BackendId, ErrorKind, SecretStore};
use metrics::{Counter, Histogram, Label};

use super::names::{
    AGENTS_REGISTERED, CONNECTIONS, CONNECTIONS_EVICTED, HTTP_DURATION, HTTP_REQUESTS, RATE_LIMIT_REJECTIONS,
    REQUESTS_WAITING, STALE_VERIFICATIONS, TOKENS_ISSUED, TOKENS_REFUSED, UNKNOWN_CLIENTS, UPGRADES,
    VAULT_CALLS_WAITING, VERIFICATION_DURATION, VERIFICATIONS,
};
use super::{Metrics, label};
use crate::domain::Outcome;

/// Why a bearer token is refused.
const CAUSES: [&str; 6] = ["expired", "not_yet_valid", "issuer", "audience", "invalid", "ended"];

/// How the check of a secret ends, but for faults that hardly ever come.
const VERIFIED: [Verified; 9] = [
    Verified::Match,
    Verified::MatchOutdated,
    Verified::MatchStale,
    Verified::Mismatch,
    Verified::Cancelled,
    Verified::Failed(ErrorKind::Denied),
    Verified::Failed(ErrorKind::NotFound),
    Verified::Failed(ErrorKind::Throttled),
    Verified::Failed(ErrorKind::Unavailable),
];

impl Metrics {
    pub(super) fn begin_traffic(&self) {
        for name in [RATE_LIMIT_REJECTIONS, STALE_VERIFICATIONS, CONNECTIONS_EVICTED] {
            self.counter(name, Vec::new(), 0);
        }
        for outcome in Outcome::ALL {
            self.outcome(TOKENS_ISSUED, outcome.as_str(), 0);
            self.outcome(AGENTS_REGISTERED, outcome.as_str(), 0);
        }
        for recorded in ["true", "false"] {
            self.counter(UNKNOWN_CLIENTS, label("recorded", recorded), 0);
        }
        for cause in CAUSES {
            self.counter(TOKENS_REFUSED, label("cause", cause), 0);
        }
        for status in [200, 401, 500, 503] {
            drop(self.requests("POST", "/api/v1/token", status));
        }
    }

    /// A token request was answered.
    pub fn token_issued(&self, outcome: Outcome) {
        self.outcome(TOKENS_ISSUED, outcome.as_str(), 1);
    }

    /// A registration was answered.
    pub fn agent_registered(&self, outcome: Outcome) {
        self.outcome(AGENTS_REGISTERED, outcome.as_str(), 1);
    }

    /// A request was answered. `path` is the route's pattern, never what the client sent.
    pub fn http_request(&self, method: &'static str, path: &'static str, status: u16, elapsed: Duration) {
        let (answered, duration) = self.requests(method, path, status);
        answered.increment(1);
        self.record(&duration, elapsed);
    }

    fn requests(&self, method: &'static str, path: &'static str, status: u16) -> (Counter, Histogram) {
        self.0.requests.get((method, path, status), || {
            let route = vec![Label::from_static_parts("method", method), Label::from_static_parts("path", path)];
            let mut labels = route.clone();
            labels.push(Label::new("status_code", status.to_string()));
            (self.0.counter(HTTP_REQUESTS, labels), self.0.histogram(HTTP_DURATION, route))
        })
    }

    /// `backend` may be asked to check secrets.
    pub fn verifies(&self, backend: &BackendId) {
        VERIFIED.into_iter().for_each(|outcome| drop(self.verifications(backend, outcome)));
    }

    /// `backend` was asked to check a secret.
    pub fn verified(&self, backend: &BackendId, outcome: Verified, elapsed: Duration) {
        let (asked, duration) = self.verifications(backend, outcome);
        asked.increment(1);
        self.record(&duration, elapsed);
    }

    fn verifications(&self, backend: &BackendId, outcome: Verified) -> (Counter, Histogram) {
        self.0.verifications.get((backend.clone(), outcome), || {
            let backend = vec![Label::new("backend", backend.to_string())];
            let mut labels = backend.clone();
            labels.push(Label::new("outcome", outcome.to_string()));
            (self.0.counter(VERIFICATIONS, labels), self.0.histogram(VERIFICATION_DURATION, backend))
        })
    }

    /// Records of each of the store's backends may be put into the form of its primary one.
    pub fn upgrades(&self, store: &SecretStore) {
        for from in store.ids() {
            Outcome::ALL.iter().for_each(|outcome| self.upgraded(from, &store.primary().id, *outcome, 0));
        }
    }

    /// Something happened in a sequence.
    pub fn told(&self, event: &Event) {
        match event {
            Event::Upgraded { from, to, .. } => self.upgraded(from, to, Outcome::Success, 1),
            Event::NotUpgraded { from, to, .. } => self.upgraded(from, to, Outcome::Failure, 1),
            _ => {}
        }
    }

    fn upgraded(&self, from: &BackendId, to: &BackendId, outcome: Outcome, by: u64) {
        let labels = vec![
            Label::new("from", from.to_string()),
            Label::new("to", to.to_string()),
            Label::from_static_parts("outcome", outcome.as_str()),
        ];
        self.counter(UPGRADES, labels, by);
    }

    /// A client that does not exist failed to authenticate.
    pub fn unknown_client(&self, recorded: bool) {
        self.counter(UNKNOWN_CLIENTS, label("recorded", if recorded { "true" } else { "false" }), 1);
    }

    /// The rate limit refused a request.
    pub fn rate_limited(&self) {
        self.counter(RATE_LIMIT_REJECTIONS, Vec::new(), 1);
    }

    /// A secret was accepted on a proof from before an outage.
    pub fn stale_verification(&self) {
        self.counter(STALE_VERIFICATIONS, Vec::new(), 1);
    }

    /// A bearer token was refused.
    pub fn token_refused(&self, cause: &'static str) {
        self.counter(TOKENS_REFUSED, label("cause", cause), 1);
    }

    /// How many connections are open, and how many requests wait for a place, is told by these.
    pub fn connections(
        &self,
        open: impl Fn() -> usize + Send + Sync + 'static,
        waiting: impl Fn() -> usize + Send + Sync + 'static,
    ) {
        self.watch(CONNECTIONS, Vec::new(), open);
        self.watch(REQUESTS_WAITING, Vec::new(), waiting);
    }

    /// How many calls wait for their turn at Vault is told by this.
    pub fn vault_calls_waiting(&self, waiting: impl Fn() -> usize + Send + Sync + 'static) {
        self.watch(VAULT_CALLS_WAITING, Vec::new(), waiting);
    }

    /// A connection had to go.
    pub fn connection_evicted(&self) {
        self.counter(CONNECTIONS_EVICTED, Vec::new(), 1);
    }
}
