//! What stands around Vault.

use std::sync::Arc;

use agentidp_secrets::layers::{Event, LimitLayer, ObserveLayer, Observer, RetryLayer, TimeoutLayer};
use agentidp_secrets::{SecretBackend, SharedBackend, stack};
use tracing::debug;

use crate::config::Vault;

/// Calls to Vault at a time. On a small Vault more than 8 in flight bring no more throughput, only longer queues.
const MAX_CALLS: usize = 32;

/// Observe around timeout around retry around limit. The deadline of a read leaves room for a second attempt, that of a
/// write for finding out what became of one whose answer was lost.
pub(super) fn around(vault: impl SecretBackend, settings: &Vault) -> SharedBackend {
    let deadline =
        TimeoutLayer::new(2 * settings.read_timeout).writes(2 * settings.write_timeout + settings.read_timeout);
    let layers: [&dyn agentidp_secrets::Layer; 4] =
        [&LimitLayer::new(MAX_CALLS), &RetryLayer::default(), &deadline, &ObserveLayer::new(Arc::new(Log))];
    stack(vault, &layers)
}

/// Puts each call to Vault into the log of a patient reader; failures are logged by whoever answers for them.
#[derive(Debug)]
struct Log;

impl Observer for Log {
    fn record(&self, event: &Event) {
        debug!(operation = %event.operation, backend = %event.backend, outcome = ?event.outcome, elapsed_ms = event.elapsed.as_millis() as u64, "asked a backend");
    }
}
