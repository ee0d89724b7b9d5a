//! The documented metrics.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use agentidp_secrets::vault::auth::TokenLife;
use metrics::{Counter, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use crate::domain::Outcome;
use crate::ledger::LedgerState;
use crate::renewal::Renewal;
use crate::repo::{QueryObserver, RowCacheOutcome};

/// Upper bounds in seconds. A bcrypt digest of cost 10 takes 50 to 100 ms: the buckets are fine around that.
const BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Samples wait in memory until they are read; where nobody reads `/metrics` they are gathered after so many.
const SAMPLES_PER_UPKEEP: u32 = 4096;

const TOKENS_ISSUED: &str = "agentidp_tokens_issued_total";
const AGENTS_REGISTERED: &str = "agentidp_agents_registered_total";
const UNKNOWN_CLIENTS: &str = "agentidp_unknown_client_failures_total";
const HTTP_REQUESTS: &str = "agentidp_http_requests_total";
const HTTP_DURATION: &str = "agentidp_http_request_duration_seconds";
const RATE_LIMIT_REJECTIONS: &str = "agentidp_rate_limit_rejections_total";
const STALE_VERIFICATIONS: &str = "agentidp_stale_verifications_total";
const CONNECTIONS: &str = "agentidp_connections";
const CONNECTIONS_EVICTED: &str = "agentidp_connections_evicted_total";
const REQUESTS_WAITING: &str = "agentidp_requests_waiting";
const UNCONFIGURED: &str = "agentidp_credentials_unconfigured";
const BUILD_INFO: &str = "agentidp_build_info";
const TOKENS_REFUSED: &str = "agentidp_tokens_refused_total";
const DATABASE_UP: &str = "agentidp_database_up";
const DATABASE_WRITABLE: &str = "agentidp_database_writable";
const VAULT_UP: &str = "agentidp_vault_up";
const VAULT_TOKEN_TTL: &str = "agentidp_vault_token_ttl_seconds";
const VAULT_TOKEN_RENEWALS: &str = "agentidp_vault_token_renewals_total";
const VAULT_BREAKER_OPEN: &str = "agentidp_vault_breaker_open";
const AUDIT_LOST: &str = "agentidp_audit_events_lost_total";
const ROW_CACHE: &str = "agentidp_row_cache_total";
const LEDGER: &str = "agentidp_ledger_state";
const DRIFT: &str = "agentidp_drift";
const DB_DURATION: &str = "agentidp_db_query_duration_seconds";

/// Counters and histograms of one server, without a process-wide recorder. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    recorder: PrometheusRecorder,
    samples: AtomicU32,
    /// By method, route and status.
    requests: Handles<(&'static str, &'static str, u16), (Counter, Histogram)>,
    /// By operation.
    queries: Handles<&'static str, Histogram>,
    /// By name and outcome.
    outcomes: Handles<(&'static str, &'static str), Counter>,
    token_life: Mutex<Option<Duration>>,
}

/// What every request counts by is looked up by its name and labels once, and by few words from then on.
struct Handles<K, H>(RwLock<HashMap<K, H>>);

impl<K: Hash + Eq, H: Clone> Handles<K, H> {
    fn new() -> Self {
        Self(RwLock::default())
    }

    fn get(&self, key: K, register: impl FnOnce() -> H) -> H {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known.clone();
        }
        let registered = register();
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, registered.clone());
        registered
    }
}

impl Metrics {
    /// Fresh metrics, all at zero.
    #[must_use]
    pub fn new() -> Self {
        // The only error of `set_buckets` is an empty list, and without buckets durations become summaries.
        let builder = PrometheusBuilder::new().set_buckets(BUCKETS).unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        for (name, text) in [
            (TOKENS_ISSUED, "Token requests by outcome."),
            (AGENTS_REGISTERED, "Agent registrations by outcome."),
            (HTTP_REQUESTS, "Answered requests by method, route and status."),
            (
                UNKNOWN_CLIENTS,
                "Failed authentications of clients that do not exist, by whether the audit trail has them: of a flood it has \
                 samples.",
            ),
            (RATE_LIMIT_REJECTIONS, "Requests refused by the rate limit."),
            (TOKENS_REFUSED, "Bearer tokens that were refused, by cause."),
            (CONNECTIONS_EVICTED, "Connections closed because there were too many: the server did no work on them."),
            (STALE_VERIFICATIONS, "Secrets accepted because they were proved before Vault became unavailable."),
            (VAULT_TOKEN_RENEWALS, "Times that the Vault token was renewed, replaced by another one, or neither."),
            (
                AUDIT_LOST,
                "Audit events that were never written although their request was answered (AUDIT_MODE=async).",
            ),
            (
                ROW_CACHE,
                "Looks for a client's rows in memory: hit, miss, off while changes are not heard of, or anew for rows that \
                 were read again before a client was refused.",
            ),
        ] {
            recorder.describe_counter(name.into(), None, text.into());
        }
        for (name, text) in [
            (HTTP_DURATION, "Time to answer a request, by method and route."),
            (DB_DURATION, "Time of a database operation, as the caller sees it."),
        ] {
            recorder.describe_histogram(name.into(), None, text.into());
        }
        for (name, text) in [
            (DRIFT, "Differences between the rows and Vault that the last comparison found, by kind."),
            (
                LEDGER,
                "1 for how the database and its folder in Vault stand to each other, 0 otherwise: deletions are carried \
                 out while they agree, and stopped until an operator decides while they disagree.",
            ),
            (CONNECTIONS, "Open connections, when the last one was accepted."),
            (REQUESTS_WAITING, "Requests that waited for a place when the last connection was accepted."),
            (
                UNCONFIGURED,
                "Active credentials that need a backend which is not configured, by backend, counted at start: they get no \
                 tokens.",
            ),
            (BUILD_INFO, "Always 1; the label is the version."),
            (DATABASE_UP, "1 while the database answers, 0 otherwise."),
            (DATABASE_WRITABLE, "1 while the database takes writes, 0 otherwise: then this server is not ready."),
            (VAULT_UP, "1 while Vault answers and accepts this server's token, 0 otherwise."),
            (VAULT_BREAKER_OPEN, "1 while Vault is not asked because it could not be, 0 otherwise."),
        ] {
            recorder.describe_gauge(name.into(), None, text.into());
        }
        let metrics = Self(Arc::new(Inner {
            recorder,
            samples: AtomicU32::new(0),
            requests: Handles::new(),
            queries: Handles::new(),
            outcomes: Handles::new(),
            token_life: Mutex::new(None),
        }));
        metrics.labelled_gauge(BUILD_INFO, "version", env!("CARGO_PKG_VERSION"), 1.0);
        metrics.counter(RATE_LIMIT_REJECTIONS, Vec::new(), 0);
        metrics.counter(STALE_VERIFICATIONS, Vec::new(), 0);
        metrics.counter(AUDIT_LOST, Vec::new(), 0);
        for outcome in Outcome::ALL {
            metrics.outcome(TOKENS_ISSUED, outcome.as_str(), 0);
            metrics.outcome(AGENTS_REGISTERED, outcome.as_str(), 0);
        }
        metrics
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
        let (answered, duration) = self.0.requests.get((method, path, status), || {
            let route = vec![Label::from_static_parts("method", method), Label::from_static_parts("path", path)];
            let mut labels = route.clone();
            labels.push(Label::new("status_code", status.to_string()));
            (self.0.counter(HTTP_REQUESTS, labels), self.0.histogram(HTTP_DURATION, route))
        });
        answered.increment(1);
        self.record(&duration, elapsed);
    }

    /// A client that does not exist failed to authenticate.
    pub fn unknown_client(&self, recorded: bool) {
        for label in [true, false] {
            let value = if label { "true" } else { "false" };
            let counter = self.0.counter(UNKNOWN_CLIENTS, vec![Label::from_static_parts("recorded", value)]);
            counter.increment(u64::from(label == recorded));
        }
    }

    /// The rate limit refused a request.
    pub fn rate_limited(&self) {
        self.counter(RATE_LIMIT_REJECTIONS, Vec::new(), 1);
    }

    /// A secret was accepted on a proof from before an outage.
    pub fn stale_verification(&self) {
        self.counter(STALE_VERIFICATIONS, Vec::new(), 1);
    }

    /// Something became of renewing the Vault token. A server without Vault has no such counter.
    pub fn vault_token(&self, outcome: Renewal) {
        for known in Renewal::ALL {
            self.outcome(VAULT_TOKEN_RENEWALS, known.as_str(), u64::from(known == outcome));
        }
    }

    /// A connection was accepted, and maybe another one had to go.
    pub fn connections(&self, open: usize, waiting: usize, evicted: bool) {
        self.gauge(CONNECTIONS, open as f64);
        self.gauge(REQUESTS_WAITING, waiting as f64);
        self.counter(CONNECTIONS_EVICTED, Vec::new(), u64::from(evicted));
    }

    /// So many active credentials need a backend that is not configured.
    pub fn unconfigured(&self, backend: &'static str, credentials: u64) {
        self.labelled_gauge(UNCONFIGURED, "backend", backend, credentials as f64);
    }

    /// A bearer token was refused.
    pub fn token_refused(&self, cause: &'static str) {
        self.counter(TOKENS_REFUSED, vec![Label::from_static_parts("cause", cause)], 1);
    }

    /// Whether the database answers, and takes writes.
    pub fn database(&self, answers: bool, writes: bool) {
        self.gauge(DATABASE_UP, f64::from(u8::from(answers)));
        self.gauge(DATABASE_WRITABLE, f64::from(u8::from(writes)));
    }

    /// Whether Vault answers and accepts the token. A server without Vault has no such gauge.
    pub fn vault_up(&self, up: bool) {
        self.gauge(VAULT_UP, f64::from(u8::from(up)));
    }

    /// How long the Vault token lives; none leaves out the gauge: the token never ends, is dead, or its life is unknown.
    pub fn vault_token_life(&self, life: Option<TokenLife>) {
        *self.0.token_life.lock().unwrap_or_else(PoisonError::into_inner) = life.map(|life| life.left);
    }

    /// Whether Vault is given up on for now. A server without Vault has no such gauge.
    pub fn vault_breaker_open(&self, open: bool) {
        self.gauge(VAULT_BREAKER_OPEN, f64::from(u8::from(open)));
    }

    /// How the database and its folder in Vault stand to each other. A server without Vault has no such gauge.
    pub fn ledger(&self, state: LedgerState) {
        for name in LedgerState::NAMES {
            let key = Key::from_parts(LEDGER, vec![Label::from_static_parts("state", name)]);
            self.0.recorder.register_gauge(&key, &METADATA).set(f64::from(u8::from(name == state.name())));
        }
    }

    /// How many differences of each kind the last comparison of rows and Vault found.
    pub fn drift(&self, found: impl Iterator<Item = (&'static str, u64)>) {
        for (class, count) in found {
            let key = Key::from_parts(DRIFT, vec![Label::from_static_parts("class", class)]);
            self.0.recorder.register_gauge(&key, &METADATA).set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        }
    }

    /// All of it in the Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = self.0.recorder.handle().render();
        // The recorder cannot take a gauge back.
        if let Some(left) = *self.0.token_life.lock().unwrap_or_else(PoisonError::into_inner) {
            text.push_str(&format!(
                "# HELP {VAULT_TOKEN_TTL} How long the Vault token still lives.\n# TYPE {VAULT_TOKEN_TTL} gauge\n\
                 {VAULT_TOKEN_TTL} {}\n\n",
                left.as_secs_f64()
            ));
        }
        text
    }

    fn outcome(&self, name: &'static str, outcome: &'static str, by: u64) {
        let register = || self.0.counter(name, vec![Label::from_static_parts("outcome", outcome)]);
        self.0.outcomes.get((name, outcome), register).increment(by);
    }

    fn counter(&self, name: &'static str, labels: Vec<Label>, by: u64) {
        self.0.counter(name, labels).increment(by);
    }

    fn gauge(&self, name: &'static str, value: f64) {
        self.0.recorder.register_gauge(&Key::from_name(name), &METADATA).set(value);
    }

    fn labelled_gauge(&self, name: &'static str, label: &'static str, text: &'static str, value: f64) {
        let key = Key::from_parts(name, vec![Label::from_static_parts(label, text)]);
        self.0.recorder.register_gauge(&key, &METADATA).set(value);
    }

    fn record(&self, histogram: &Histogram, elapsed: Duration) {
        histogram.record(elapsed);
        if self.0.samples.fetch_add(1, Ordering::Relaxed) % SAMPLES_PER_UPKEEP == SAMPLES_PER_UPKEEP - 1 {
            self.0.recorder.handle().run_upkeep();
        }
    }
}

impl Inner {
    fn counter(&self, name: &'static str, labels: Vec<Label>) -> Counter {
        self.recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
    }

    fn histogram(&self, name: &'static str, labels: Vec<Label>) -> Histogram {
        self.recorder.register_histogram(&Key::from_parts(name, labels), &METADATA)
    }
}

/// What the facade wants to know about the caller; this recorder ignores it.
static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

impl QueryObserver for Metrics {
    fn observe(&self, operation: &'static str, elapsed: Duration) {
        let histogram = self
            .0
            .queries
            .get(operation, || self.0.histogram(DB_DURATION, vec![Label::from_static_parts("operation", operation)]));
        self.record(&histogram, elapsed);
    }

    fn audit_events_lost(&self, events: u64) {
        self.counter(AUDIT_LOST, Vec::new(), events);
    }

    fn row_cache(&self, outcome: RowCacheOutcome) {
        self.outcome(ROW_CACHE, outcome.as_str(), 1);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_names_and_labels_are_rendered() {
        let metrics = Metrics::new();
        metrics.token_issued(Outcome::Success);
        metrics.agent_registered(Outcome::Failure);
        metrics.http_request("GET", "/health", 200, Duration::from_millis(3));
        metrics.rate_limited();
        metrics.audit_events_lost(3);
        metrics.row_cache(RowCacheOutcome::Hit);
        metrics.observe("agents.find", Duration::from_millis(2));
        let text = metrics.render();
        for line in [
            "agentidp_tokens_issued_total{outcome=\"success\"} 1",
            "agentidp_tokens_issued_total{outcome=\"failure\"} 0",
            "agentidp_agents_registered_total{outcome=\"failure\"} 1",
            "agentidp_http_requests_total{method=\"GET\",path=\"/health\",status_code=\"200\"} 1",
            "agentidp_http_request_duration_seconds_bucket{method=\"GET\",path=\"/health\",le=\"0.005\"} 1",
            "agentidp_http_request_duration_seconds_count{method=\"GET\",path=\"/health\"} 1",
            "agentidp_rate_limit_rejections_total 1",
            "agentidp_audit_events_lost_total 3",
            "agentidp_row_cache_total{outcome=\"hit\"} 1",
            "agentidp_db_query_duration_seconds_bucket{operation=\"agents.find\",le=\"0.001\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn two_servers_in_one_process_do_not_mix() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.rate_limited();
        assert!(other.render().contains("agentidp_rate_limit_rejections_total 0"));
    }
}
