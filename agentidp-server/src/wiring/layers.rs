//! What stands around the backends.

use std::sync::Arc;

use agentidp_secrets::layers::{
    BreakerChange, BreakerLayer, Event, LimitLayer, ObserveLayer, Observer, Outcome, RetryLayer, TimeoutLayer,
    WarmLayer,
};
use agentidp_secrets::{Clock, ErrorKind, Layer, Operation, Result, SecretBackend, SharedBackend, stack};
use tracing::{debug, info, warn};

use crate::config::{Vault, Warm};
use crate::metrics::Metrics;

/// Calls to Vault at a time. On a small Vault more than 8 in flight bring no more throughput, only longer queues.
const MAX_CALLS: usize = 32;

/// One memory of proofs for all backends, where there is to be one.
pub(super) fn warm(settings: Warm, clock: &Arc<dyn Clock>) -> Result<Option<WarmLayer>> {
    if settings.capacity == 0 {
        return Ok(None);
    }
    let warm = WarmLayer::builder().capacity(settings.capacity).lifetime(settings.vault_lifetime);
    warm.stale_window(settings.vault_stale).clock(Arc::clone(clock)).build().map(Some)
}

/// Observe around warm: digests limit themselves.
pub(super) fn around_digests(
    backend: impl SecretBackend,
    warm: Option<&WarmLayer>,
    metrics: &Metrics,
) -> SharedBackend {
    observed(stack(backend, &as_layers(warm)), metrics)
}

/// Observe around warm around breaker around timeout around retry around limit. The deadline of a read leaves room for a
/// second attempt, that of a write for finding out what became of one whose answer was lost. A wait for the limit ends
/// before either: it is no outage of Vault, and the breaker does not count it.
pub(super) fn around_vault(
    backend: impl SecretBackend,
    settings: &Vault,
    warm: Option<&WarmLayer>,
    breaker: &BreakerLayer,
    metrics: &Metrics,
) -> SharedBackend {
    let deadline =
        TimeoutLayer::new(2 * settings.read_timeout).writes(2 * settings.write_timeout + settings.read_timeout);
    let limit = LimitLayer::new(MAX_CALLS).max_wait(settings.read_timeout);
    let permits = limit.clone();
    metrics.vault_calls_waiting(move || permits.waiting());
    let asked = stack(backend, &[&limit, &RetryLayer::default(), &deadline, breaker]);
    observed(stack(asked, &as_layers(warm)), metrics)
}

/// Tells the log and the metrics when Vault is given up on, and when it is back.
pub(super) fn vault_breaker(clock: &Arc<dyn Clock>, metrics: &Metrics) -> BreakerLayer {
    let metrics = metrics.clone();
    BreakerLayer::default().clock(Arc::clone(clock)).on_change(move |change| match change {
        BreakerChange::Closed => {
            metrics.vault_breaker_open(false);
            info!("Vault answers again: asking it as before");
        }
        BreakerChange::Opened(pause) => {
            metrics.vault_breaker_open(true);
            warn!(
                pause_ms = pause.as_millis() as u64,
                "Vault cannot be asked, so it is left alone for a while and then tried by one call at a time: credentials \
                 in Vault fail at once until it answers; look at Vault"
            );
        }
        still_open => debug!(?still_open, "Vault was tried and cannot be asked yet"),
    })
}

fn as_layers(warm: Option<&WarmLayer>) -> Vec<&dyn Layer> {
    warm.into_iter().map(|warm| warm as &dyn Layer).collect()
}

fn observed(backend: SharedBackend, metrics: &Metrics) -> SharedBackend {
    metrics.verifies(&backend.info().id);
    ObserveLayer::new(Arc::new(Uses(metrics.clone()))).layer(backend)
}

/// Counts each verification, and puts each use of a backend into the log of a patient reader. Failures are logged by whoever answers for them, but for
/// a credential that is broken: where another one of its client matches, nobody does.
#[derive(Debug)]
struct Uses(Metrics);

impl Observer for Uses {
    fn record(&self, event: &Event) {
        if event.operation == Operation::Verify {
            self.0.verified(&event.backend, event.outcome, event.elapsed);
        }
        if let Outcome::Failed(kind @ (ErrorKind::Malformed | ErrorKind::NotFound)) = event.outcome {
            warn!(backend = %event.backend, %kind, "a credential is broken: the line of the answer names its client");
        }
        debug!(operation = %event.operation, backend = %event.backend, outcome = ?event.outcome, elapsed_ms = event.elapsed.as_millis() as u64, "asked a backend");
    }
}

#[cfg(test)]
mod tests {
    use agentidp_secrets::backends::Bcrypt;
    use agentidp_secrets::{BackendId, ClientSecret, CredentialKey, StoredSecret};

    use super::*;
    use crate::config::{Log as LogSettings, LogFormat};
    use crate::telemetry::{self, tests::Lines};

    #[tokio::test]
    async fn a_broken_credential_is_told_even_if_nobody_answers_for_it() {
        let lines = Lines::default();
        let writer = lines.clone();
        let settings = LogSettings { format: LogFormat::Text, filter: "warn".to_owned() };
        let _log = tracing::subscriber::set_default(telemetry::subscriber(&settings, move || writer.clone()));
        // While there is one dispatcher only, a call site that another thread meets first is switched off for all.
        let _second = tracing::Dispatch::new(tracing_subscriber::registry());

        let bcrypt = around_digests(Bcrypt::builder().minimum_cost_for_tests().build().unwrap(), None, &Metrics::new());
        let key = CredentialKey::parse("agent", "credential").unwrap();
        let sound = bcrypt.store(&key, &"secret".into()).await.unwrap();
        let broken = StoredSecret::new(BackendId::BCRYPT, "$2b$10$canary");
        for (record, told) in [(&sound, false), (&broken, true)] {
            let _ = bcrypt.verify(&key, record, &ClientSecret::from("wrong")).await;
            let text = lines.text();
            assert_eq!(text.contains("a credential is broken"), told, "{text}");
            assert!(!text.contains("canary"), "{text}");
        }
    }
}
