//! Deadline, retries, limit and observation around a backend.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::backends::Memory;
use agentidp_secrets::layers::{Event, LimitLayer, ObserveLayer, Observer, RetryLayer, TimeoutLayer};
use agentidp_secrets::testkit::{Fault, FaultLayer};
use agentidp_secrets::{CredentialKey, ErrorKind, Operation, SecretStore, stack};

/// Where your metrics would be counted.
#[derive(Debug)]
struct Print;

impl Observer for Print {
    fn record(&self, event: &Event) {
        println!("  {} {}: {} after {:.0?}", event.backend, event.operation, event.outcome, event.elapsed);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The memory backend stands for Vault, and the faults for its bad days.
    let faults = FaultLayer::new();
    let remote = stack(Memory::new(), &[&faults]);

    // The first of the list is the innermost: only a permit holder talks to the backend, the deadline covers every
    // attempt, and the observer sees what callers see.
    let backend = stack(
        remote,
        &[
            &LimitLayer::new(16).max_wait(Duration::from_millis(500)),
            &RetryLayer::default(),
            &TimeoutLayer::new(Duration::from_secs(1)),
            &ObserveLayer::new(Arc::new(Print)),
        ],
    );
    let store = SecretStore::builder(backend).build()?;
    let key = CredentialKey::parse("agent-7", "credential-1")?;
    let issued = store.issue(&key).await?;
    let record = issued.stored.into();

    println!("one refused connection: the retry hides it");
    faults.once(Operation::Verify, Fault::Fail(ErrorKind::Unavailable));
    store.verify(&key, &record, &issued.secret).await?;

    println!("a backend that hangs: the deadline ends it, as an outage and not as a wrong secret");
    faults.always(Operation::Verify, Fault::Hang);
    let error = store.verify(&key, &record, &issued.secret).await.err().ok_or("the backend hangs")?;
    println!("  {error}: {}", error.source().map(ToString::to_string).unwrap_or_default());
    Ok(())
}
