//! What stands around the backends.

use std::sync::Arc;

use agentidp_secrets::layers::{Event, LimitLayer, ObserveLayer, Observer, RetryLayer, TimeoutLayer, WarmLayer};
use agentidp_secrets::{Clock, Layer, Result, SecretBackend, SharedBackend, stack};
use tracing::debug;

use crate::config::{Vault, Warm};

/// Calls to Vault at a time. On a small Vault more than 8 in flight bring no more throughput, only longer queues.
const MAX_CALLS: usize = 32;

/// One memory of proofs for all backends, where there is to be one.
pub(super) fn warm(settings: Warm, clock: &Arc<dyn Clock>) -> Result<Option<WarmLayer>> {
    if settings.capacity == 0 {
        return Ok(None);
    }
    let warm = WarmLayer::builder().capacity(settings.capacity).lifetime(settings.vault_lifetime);
    warm.clock(Arc::clone(clock)).build().map(Some)
}

/// Digests limit themselves.
pub(super) fn around_digests(backend: impl SecretBackend, warm: Option<&WarmLayer>) -> SharedBackend {
    stack(backend, &as_layers(warm))
}

/// Observe around warm around timeout around retry around limit. The deadline of a read leaves room for a second
/// attempt, that of a write for finding out what became of one whose answer was lost.
pub(super) fn around_vault(backend: impl SecretBackend, settings: &Vault, warm: Option<&WarmLayer>) -> SharedBackend {
    let deadline =
        TimeoutLayer::new(2 * settings.read_timeout).writes(2 * settings.write_timeout + settings.read_timeout);
    let asked = stack(backend, &[&LimitLayer::new(MAX_CALLS), &RetryLayer::default(), &deadline]);
    stack(stack(asked, &as_layers(warm)), &[&ObserveLayer::new(Arc::new(Log))])
}

fn as_layers(warm: Option<&WarmLayer>) -> Vec<&dyn Layer> {
    warm.into_iter().map(|warm| warm as &dyn Layer).collect()
}

/// Puts each use of Vault into the log of a patient reader; failures are logged by whoever answers for them.
#[derive(Debug)]
struct Log;

impl Observer for Log {
    fn record(&self, event: &Event) {
        debug!(operation = %event.operation, backend = %event.backend, outcome = ?event.outcome, elapsed_ms = event.elapsed.as_millis() as u64, "asked a backend");
    }
}
