//! What a login costs through the lifecycle, over a ledger in memory, beside the store alone and a bare MAC.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has to stop")]

#[expect(dead_code, reason = "other benchmarks use the rest")]
mod support;

use std::time::Duration;

use agentidp_secrets::backends::KeyedDigest;
use agentidp_secrets::lifecycle::{Decision, Lifecycle, MemoryLedger};
use agentidp_secrets::{MacKeys, SecretStore};
use criterion::{Criterion, criterion_group, criterion_main};

use self::support::{bare_mac, key, runtime, secret};

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = login
}
criterion_main!(benches);

/// The cheapest login there is, so that what is added to it shows: a client with one keyed digest.
fn login(criterion: &mut Criterion) {
    let runtime = runtime();
    let (plain, noting) = (lifecycle(), lifecycle().with_usage());
    let mut group = criterion.benchmark_group("lifecycle/login");
    bare_mac(&mut group, &secret());
    let key = key(0);
    for (name, life) in [("authenticate", plain), ("with_usage", noting)] {
        let secret = runtime.block_on(life.issue(&key, ())).expect("it stores").secret;
        let login = async || match life.authenticate(key.client_id(), &secret).await {
            Ok(Decision::Proved(proof)) => life.still_counts(proof, &secret).await.ok(),
            _ => None,
        };
        assert!(matches!(runtime.block_on(login()), Some(Decision::Proved(_))), "it is the right secret");
        group.bench_function(name, |bencher| bencher.to_async(&runtime).iter(&login));
    }
    group.finish();
}

fn lifecycle() -> Lifecycle<MemoryLedger> {
    let keys = MacKeys::parse(&format!("k1:{}", "0123456789abcdef".repeat(4))).expect("32 bytes");
    let store = SecretStore::builder(KeyedDigest::new(keys)).build().expect("one backend is fine");
    Lifecycle::new(store, MemoryLedger::new(), |task| drop(tokio::spawn(task)))
}
