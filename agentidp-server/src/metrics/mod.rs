//! What is counted, for `GET /metrics`.
//!
//! One file for each kind of reader: `traffic` is what clients do, `state` how the server and what it depends on are. Every
//! counter whose labels are known is there from the start, at zero: an alert that asks how much a counter grew does not hear
//! of one that begins with its first event.

mod handles;
mod names;
mod process;
mod state;
mod traffic;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agentidp_secrets::BackendId;
use agentidp_secrets::layers::{FairPermit, FairSemaphore, Outcome as Verified};
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use self::handles::Handles;
use crate::rate_limit::network;
use crate::repo::Deadlines;

/// Upper bounds in seconds. A bcrypt digest of cost 10 takes 50 to 100 ms: the buckets are fine around that.
const BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Samples wait in memory until they are read; where nobody reads `/metrics` they are gathered after so many.
const SAMPLES_PER_UPKEEP: u32 = 4096;

/// Counters and histograms of one server, without a process-wide recorder. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    recorder: PrometheusRecorder,
    samples: AtomicU32,
    /// By method, route and status.
    requests: Handles<(&'static str, &'static str, u16), (Counter, Histogram)>,
    /// By backend and outcome.
    verifications: Handles<(BackendId, Verified), (Counter, Histogram)>,
    /// By operation.
    queries: Handles<&'static str, Histogram>,
    /// By name and outcome.
    outcomes: Handles<(&'static str, &'static str), Counter>,
    token_life: Mutex<Option<Duration>>,
    deadlines: Mutex<Deadlines>,
    /// Ids of keys that credentials need or needed, and that are not configured.
    unconfigured_keys: Mutex<BTreeSet<String>>,
    /// Gauges that are read when somebody asks.
    watched: Mutex<Vec<(Gauge, Source)>>,
    turns: FairSemaphore<IpAddr>,
}

type Source = Box<dyn Fn() -> usize + Send + Sync>;

impl Metrics {
    /// Fresh metrics, all at zero.
    #[must_use]
    pub fn new() -> Self {
        // The only error of `set_buckets` is an empty list, and without buckets durations become summaries.
        let builder = PrometheusBuilder::new().set_buckets(BUCKETS).unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        names::describe(&recorder);
        let metrics = Self(Arc::new(Inner {
            recorder,
            samples: AtomicU32::new(0),
            requests: Handles::new(),
            verifications: Handles::new(),
            queries: Handles::new(),
            outcomes: Handles::new(),
            token_life: Mutex::new(None),
            deadlines: Mutex::default(),
            unconfigured_keys: Mutex::default(),
            watched: Mutex::default(),
            turns: FairSemaphore::new(1),
        }));
        metrics.begin_traffic();
        metrics.begin_state();
        metrics
    }

    /// Waits for the turn of whoever asks from `address`. Putting the text together is work without a pause: one text at a time
    /// leaves room for all other work, and taking turns leaves a scraper its share beside an address that asks without end.
    pub async fn turn(&self, address: IpAddr) -> FairPermit<IpAddr> {
        self.0.turns.acquire(network(address)).await
    }

    /// All of it in the Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        for (gauge, source) in &*locked(&self.0.watched) {
            gauge.set(source() as f64);
        }
        let mut text = self.0.recorder.handle().render();
        // The recorder cannot take a gauge back.
        if let Some(left) = *locked(&self.0.token_life) {
            let (name, seconds) = (names::VAULT_TOKEN_TTL, left.as_secs_f64());
            let help = "How long the Vault token still lives.";
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {seconds}\n\n"));
        }
        text + &process::render()
    }

    fn outcome(&self, name: &'static str, outcome: &'static str, by: u64) {
        let register = || self.0.counter(name, vec![Label::from_static_parts("outcome", outcome)]);
        self.0.outcomes.get((name, outcome), register).increment(by);
    }

    fn counter(&self, name: &'static str, labels: Vec<Label>, by: u64) {
        self.0.counter(name, labels).increment(by);
    }

    fn gauge(&self, name: &'static str, labels: Vec<Label>) -> Gauge {
        self.0.recorder.register_gauge(&Key::from_parts(name, labels), &METADATA)
    }

    /// A gauge that is read when somebody asks.
    fn watch(&self, name: &'static str, labels: Vec<Label>, source: impl Fn() -> usize + Send + Sync + 'static) {
        locked(&self.0.watched).push((self.gauge(name, labels), Box::new(source)));
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

/// One label with a text of ours.
fn label(name: &'static str, text: &'static str) -> Vec<Label> {
    vec![Label::from_static_parts(name, text)]
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
mod tests;
