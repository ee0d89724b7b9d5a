//! Warm verification beside a bare MAC of the candidate.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has to stop")]

mod support;

use std::time::Duration;

use agentidp_secrets::backends::{Bcrypt, Memory};
use agentidp_secrets::layers::WarmLayer;
use agentidp_secrets::{SecretBackend, SecretStore, SharedBackend, stack};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

use self::support::{bare_mac, by_count, key, runtime, secret, twenty};

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = backends, stores, meeting
}
criterion_main!(benches);

/// One credential of each custody: a record that is a digest, and one that points into a backend.
fn backends(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("warm");
    let (key, secret, wrong) = (key(0), secret(), secret());
    bare_mac(&mut group, &secret);
    for (name, backend) in [("bcrypt", warm(bcrypt())), ("memory", warm(Memory::new()))] {
        let record = runtime.block_on(backend.store(&key, &secret)).expect("it stores");
        assert!(runtime.block_on(backend.verify(&key, &record, &secret)).expect("it verifies").is_match());
        for (case, candidate) in [("right", &secret), ("wrong", &wrong)] {
            group.bench_function(BenchmarkId::new(case, name), |bencher| {
                bencher.to_async(&runtime).iter(|| backend.verify(&key, &record, candidate));
            });
        }
    }
    group.finish();
}

/// A store over a client with ever more bcrypt credentials, all of them proved.
fn stores(criterion: &mut Criterion) {
    let runtime = runtime();
    let store = SecretStore::builder(warm(bcrypt())).build().expect("one backend is fine");
    runtime.block_on(store.prepare()).expect("it digests");
    // What was just stored is proved.
    let (credentials, right) = twenty(&runtime, &store);
    let wrong = secret();
    let mut group = criterion.benchmark_group("warm/store");
    bare_mac(&mut group, &right);
    group.bench_function("decoy", |bencher| bencher.to_async(&runtime).iter(|| store.verify_decoy(&wrong)));
    by_count(&mut group, (&runtime, &store), &credentials, &[("right", &right), ("wrong", &wrong)]);
    group.finish();
}

/// What a thousand callers with one right secret cost while it is cold: one digest, and their meeting.
fn meeting(criterion: &mut Criterion) {
    let runtime = runtime();
    let (key, secret) = (key(0), secret());
    let record = runtime.block_on(bcrypt().store(&key, &secret)).expect("it stores");
    let mut group = criterion.benchmark_group("warm/cold");
    group.sample_size(10);
    for callers in [1, 1_000] {
        group.bench_function(BenchmarkId::new("callers", callers), |bencher| {
            bencher.to_async(&runtime).iter_batched(
                || warm(bcrypt()),
                |backend| {
                    let (key, record, secret) = (&key, &record, &secret);
                    async move {
                        let calls = (0..callers).map(|_| backend.verify(key, record, secret));
                        futures_util::future::join_all(calls).await.len()
                    }
                },
                criterion::BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn warm(backend: impl SecretBackend) -> SharedBackend {
    // Longer than a run.
    let layer = WarmLayer::builder().lifetime(Duration::from_secs(86_400)).build().expect("defaults are fine");
    stack(backend, &[&layer])
}

fn bcrypt() -> impl SecretBackend {
    Bcrypt::builder().build().expect("defaults are fine")
}
