//! How the server is, and what it depends on.

use std::collections::BTreeMap;
use std::time::Duration;

use agentidp_secrets::backends::DigestLoad;
use agentidp_secrets::folder::FolderState;
use agentidp_secrets::vault::auth::TokenLife;
use metrics::Label;

use super::names::{
    AUDIT_LOST, BUILD_INFO, CLOCK_DIFFERENCE, CREDENTIALS, DATABASE_UP, DATABASE_WRITABLE, DB_DURATION,
    DIGEST_THREADS_BUSY, DIGESTS_WAITING, DRIFT, EXPIRING, LEDGER, LISTENER_UP, OVERLAPPING, OVERLAPS_OVERDUE,
    PURGE_BACKLOG, ROW_CACHE, UNCONFIGURED, VAULT_BREAKER_OPEN, VAULT_TOKEN_ENDING, VAULT_TOKEN_RENEWALS, VAULT_UP,
};
use super::{Metrics, label, locked};
use crate::ledger_clock::Difference;
use crate::renewal::Renewal;
use crate::repo::{Deadlines, QueryObserver, RowCacheOutcome, Waiting};

impl Metrics {
    pub(super) fn begin_state(&self) {
        self.gauge(BUILD_INFO, label("version", env!("CARGO_PKG_VERSION"))).set(1.0);
        self.counter(AUDIT_LOST, Vec::new(), 0);
    }

    /// There is a Vault. A server without one has none of these counters and gauges.
    pub fn with_vault(&self) {
        self.vault_breaker_open(false);
        self.vault_token_ending(false);
        Renewal::ALL.into_iter().for_each(|outcome| self.outcome(VAULT_TOKEN_RENEWALS, outcome.as_str(), 0));
    }

    /// Something became of renewing the Vault token.
    pub fn vault_token(&self, outcome: Renewal) {
        self.outcome(VAULT_TOKEN_RENEWALS, outcome.as_str(), 1);
    }

    /// The work of `backend`'s digest threads is told by `load`.
    pub fn digests(&self, backend: &'static str, load: DigestLoad) {
        let busy = load.clone();
        self.watch(DIGESTS_WAITING, label("backend", backend), move || load.waiting());
        self.watch(DIGEST_THREADS_BUSY, label("backend", backend), move || busy.busy());
    }

    /// So many active credentials have their secret in this backend.
    pub fn credentials(&self, backend: &'static str, credentials: u64) {
        self.gauge(CREDENTIALS, label("backend", backend)).set(credentials as f64);
    }

    /// So many active credentials need a backend that is not configured.
    pub fn unconfigured(&self, backend: &'static str, credentials: u64) {
        self.gauge(UNCONFIGURED, label("backend", backend)).set(credentials as f64);
    }

    /// So many active credentials need each of these keys of keyed digests, which are not configured. What was told before, and is
    /// not among them, is over.
    pub fn unconfigured_keys(&self, keys: BTreeMap<String, u64>) {
        let mut told = locked(&self.0.unconfigured_keys);
        for id in told.iter().filter(|id| !keys.contains_key(*id)) {
            self.unconfigured_key(id, 0);
        }
        keys.iter().for_each(|(id, credentials)| self.unconfigured_key(id, *credentials));
        told.extend(keys.into_keys());
    }

    fn unconfigured_key(&self, id: &str, credentials: u64) {
        let labels = vec![Label::from_static_parts("backend", "keyed-digest"), Label::new("key", id.to_owned())];
        self.gauge(UNCONFIGURED, labels).set(credentials as f64);
    }

    /// Of so many credentials the time is coming; how many there were before.
    #[must_use = "it tells whether there are more"]
    pub fn deadlines(&self, deadlines: Deadlines) -> Deadlines {
        let Deadlines { expiring_used, expiring_unused, previous_used, previous_unused, previous_overdue } = deadlines;
        let counts = [
            (EXPIRING, "true", expiring_used),
            (EXPIRING, "false", expiring_unused),
            (OVERLAPPING, "true", previous_used),
            (OVERLAPPING, "false", previous_unused),
        ];
        for (name, used, count) in counts {
            self.gauge(name, label("used", used)).set(count as f64);
        }
        self.gauge(OVERLAPS_OVERDUE, Vec::new()).set(previous_overdue as f64);
        std::mem::replace(&mut *locked(&self.0.deadlines), deadlines)
    }

    /// So many secrets are still to be forgotten by Vault.
    pub fn purge_backlog(&self, waiting: Waiting) {
        for (state, count) in [("due", waiting.due), ("later", waiting.later)] {
            self.gauge(PURGE_BACKLOG, label("state", state)).set(count as f64);
        }
    }

    /// Whether the database answers, and takes writes.
    pub fn database(&self, answers: bool, writes: bool) {
        self.flag(DATABASE_UP, answers);
        self.flag(DATABASE_WRITABLE, writes);
    }

    /// By how much this machine's clock differs from the database's. Without a clock of its own there is no such gauge.
    pub fn clock_difference(&self, difference: Difference) {
        let seconds = difference.amount.as_secs_f64();
        self.gauge(CLOCK_DIFFERENCE, Vec::new()).set(if difference.ahead { seconds } else { -seconds });
    }

    /// Whether Vault answers and accepts the token.
    pub fn vault_up(&self, up: bool) {
        self.flag(VAULT_UP, up);
    }

    /// How long the Vault token lives; none leaves out the gauge: the token never ends, is dead, or its life is unknown.
    pub fn vault_token_life(&self, life: Option<TokenLife>) {
        *locked(&self.0.token_life) = life.map(|life| life.left);
    }

    /// Whether less of the Vault token's life is left than renewing should have let it come to.
    pub fn vault_token_ending(&self, ending: bool) {
        self.flag(VAULT_TOKEN_ENDING, ending);
    }

    /// Whether Vault is given up on for now.
    pub fn vault_breaker_open(&self, open: bool) {
        self.flag(VAULT_BREAKER_OPEN, open);
    }

    /// How the database and its folder in Vault stand to each other.
    pub fn ledger(&self, state: FolderState) {
        for name in FolderState::NAMES {
            self.gauge(LEDGER, label("state", name)).set(f64::from(u8::from(name == state.name())));
        }
    }

    /// How many differences of each kind the last comparison found.
    pub fn drift(&self, found: impl Iterator<Item = (&'static str, u64)>) {
        found.for_each(|(class, count)| self.gauge(DRIFT, label("class", class)).set(count as f64));
    }

    fn flag(&self, name: &'static str, set: bool) {
        self.gauge(name, Vec::new()).set(f64::from(u8::from(set)));
    }
}

impl QueryObserver for Metrics {
    fn observe(&self, operation: &'static str, elapsed: Duration) {
        let histogram = self.0.queries.get(operation, || self.0.histogram(DB_DURATION, label("operation", operation)));
        self.record(&histogram, elapsed);
    }

    fn audit_events_lost(&self, events: u64) {
        self.counter(AUDIT_LOST, Vec::new(), events);
    }

    fn row_cache(&self, outcome: RowCacheOutcome) {
        self.outcome(ROW_CACHE, outcome.as_str(), 1);
    }

    fn listener(&self, hears: bool) {
        self.flag(LISTENER_UP, hears);
    }
}
