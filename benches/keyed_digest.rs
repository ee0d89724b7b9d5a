//! Keyed digests, each path beside a bare MAC of the candidate.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has to stop")]

use std::hint::black_box;
use std::time::Duration;

use agentidp_secrets::backends::KeyedDigest;
use agentidp_secrets::{ClientSecret, CredentialKey, CredentialSecrets, MacKeys, SecretBackend, SecretStore};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::runtime::Runtime;

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = backend, stores
}
criterion_main!(benches);

fn backend(criterion: &mut Criterion) {
    let (runtime, keyed, key) = (runtime(), KeyedDigest::new(keys()), key(0));
    let (secret, wrong) = (secret(), secret());
    let record = runtime.block_on(keyed.store(&key, &secret)).expect("it stores");
    let mut group = criterion.benchmark_group("keyed_digest");
    bare(&mut group, &secret);
    for (case, candidate) in [("right", &secret), ("wrong", &wrong)] {
        group.bench_function(case, |bencher| {
            bencher.to_async(&runtime).iter(|| keyed.verify(&key, &record, candidate));
        });
    }
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
        let mut credentials = Vec::with_capacity(20);
        let mut right = secret();
        for number in 0..20 {
            let issued = runtime.block_on(store.issue(&key(number))).expect("it stores");
            let secrets = CredentialSecrets { current: issued.stored, selector: issued.selector, previous: None };
            credentials.push((key(number), secrets));
            right = issued.secret;
        }
        let mut group = criterion.benchmark_group(name);
        bare(&mut group, &right);
        group.bench_function("decoy", |bencher| bencher.to_async(&runtime).iter(|| store.verify_decoy(&wrong)));
        for count in [1, 5, 20] {
            // The right secret is the last one's: without selectors the worst case.
            let credentials = &credentials[credentials.len() - count..];
            group.throughput(Throughput::Elements(count as u64));
            for (case, candidate) in [("right", &right), ("wrong", &wrong)] {
                group.bench_function(BenchmarkId::new(case, count), |bencher| {
                    bencher.to_async(&runtime).iter(|| store.verify_any(credentials, candidate));
                });
            }
        }
        group.finish();
    }
}

/// The primitive, its key taken in beforehand.
fn bare<M: criterion::measurement::Measurement>(group: &mut criterion::BenchmarkGroup<'_, M>, secret: &ClientSecret) {
    let keyed = Hmac::<Sha256>::new_from_slice(&[7; 32]).expect("a key may have any length");
    group.bench_function("bare", |bencher| {
        bencher.iter(|| {
            let mut mac = keyed.clone();
            mac.update(black_box(secret.expose_secret().as_bytes()));
            mac.finalize()
        });
    });
}

fn keys() -> MacKeys {
    MacKeys::parse("bench:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92").expect("a sound key")
}

/// Ids as long as the server's, which are UUIDs.
fn key(number: usize) -> CredentialKey {
    CredentialKey::parse(
        "0f8fad5b-d9cb-469f-a165-70867728950e",
        &format!("7c9e6679-7425-40de-944b-e07fc1f9{number:04}"),
    )
    .expect("fit for an id")
}

fn secret() -> ClientSecret {
    ClientSecret::generate().expect("there is randomness")
}

fn runtime() -> Runtime {
    Runtime::new().expect("there are threads")
}
