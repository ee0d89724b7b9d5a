//! Keyed digests and sealed secrets, each path beside a bare MAC of the candidate.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has to stop")]

mod support;

use std::time::Duration;

use agentidp_secrets::backends::{KeyedDigest, Sealed};
use agentidp_secrets::{MacKeys, SecretBackend, SecretStore};
use criterion::{Criterion, criterion_group, criterion_main};

use self::support::{bare_mac, by_count, key, runtime, secret, twenty};

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = backend, sealed, stores
}
criterion_main!(benches);

fn backend(criterion: &mut Criterion) {
    let (runtime, keyed, key) = (runtime(), KeyedDigest::new(keys()), key(0));
    let (secret, wrong) = (secret(), secret());
    let record = runtime.block_on(keyed.store(&key, &secret)).expect("it stores");
    let mut group = criterion.benchmark_group("keyed_digest");
    bare_mac(&mut group, &secret);
    for (case, candidate) in [("right", &secret), ("wrong", &wrong)] {
        group.bench_function(case, |bencher| {
            bencher.to_async(&runtime).iter(|| keyed.verify(&key, &record, candidate));
        });
    }
    group.finish();
}

/// What a wrong secret costs, a right one does: both are compared with what was opened.
fn sealed(criterion: &mut Criterion) {
    let (runtime, sealed, key) = (runtime(), Sealed::new(keys()), key(0));
    let (secret, wrong) = (secret(), secret());
    let record = runtime.block_on(sealed.store(&key, &secret)).expect("it stores");
    let mut group = criterion.benchmark_group("sealed");
    bare_mac(&mut group, &secret);
    for (case, candidate) in [("right", &secret), ("wrong", &wrong)] {
        group.bench_function(case, |bencher| {
            bencher.to_async(&runtime).iter(|| sealed.verify(&key, &record, candidate));
        });
    }
    group.bench_function("store", |bencher| bencher.to_async(&runtime).iter(|| sealed.store(&key, &secret)));
    group.bench_function("reveal", |bencher| bencher.to_async(&runtime).iter(|| sealed.reveal(&key, &record)));
    group.finish();
}

/// Clients with ever more credentials, without selectors and with.
fn stores(criterion: &mut Criterion) {
    let runtime = runtime();
    let wrong = secret();
    for (name, selectors) in [("keyed_digest/store", false), ("keyed_digest/selector", true)] {
        let builder = SecretStore::builder(KeyedDigest::new(keys()));
        let builder = if selectors { builder.selector_keys(keys()) } else { builder };
        let store = builder.build().expect("one backend is fine");
        runtime.block_on(store.prepare()).expect("it digests");
        let (credentials, right) = twenty(&runtime, &store);
        let mut group = criterion.benchmark_group(name);
        bare_mac(&mut group, &right);
        group.bench_function("decoy", |bencher| bencher.to_async(&runtime).iter(|| store.verify_decoy(&wrong)));
        by_count(&mut group, (&runtime, &store), &credentials, &[("right", &right), ("wrong", &wrong)]);
        group.finish();
    }
}

fn keys() -> MacKeys {
    MacKeys::parse("bench:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92").expect("a sound key")
}
