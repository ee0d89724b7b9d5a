//! Selectors beside bcrypt records: what a client with many credentials costs, warm and cold.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has to stop")]

use std::hint::black_box;
use std::time::Duration;

use agentidp_secrets::backends::Bcrypt;
use agentidp_secrets::layers::WarmLayer;
use agentidp_secrets::{
    ClientSecret, CredentialKey, CredentialSecrets, Layer, MacKeys, SecretBackend, SecretStore, SharedBackend, stack,
};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::runtime::Runtime;

type Credentials = Vec<(CredentialKey, CredentialSecrets)>;

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = warm, cold_wrong, cold_right
}
criterion_main!(benches);

/// Everything proved before: the selector's MAC, and the warm layer's for the one that it picks.
fn warm(criterion: &mut Criterion) {
    let layer = WarmLayer::builder().build().expect("defaults are fine");
    let (runtime, store, credentials, right) = set_up(&[&layer]);
    let wrong = secret();
    let mut group = criterion.benchmark_group("selector/warm");
    bare_mac(&mut group, &right);
    group.bench_function("decoy", |bencher| bencher.to_async(&runtime).iter(|| store.verify_decoy(&wrong)));
    for count in [1, 5, 20] {
        // The right secret is the last one's.
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

/// Nothing proved before, a wrong secret: one MAC.
fn cold_wrong(criterion: &mut Criterion) {
    let (runtime, store, credentials, right) = set_up(&[]);
    let wrong = secret();
    let mut group = criterion.benchmark_group("selector/cold/wrong");
    bare_mac(&mut group, &right);
    for count in [1, 5, 20] {
        let credentials = &credentials[credentials.len() - count..];
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("wrong", count), |bencher| {
            bencher.to_async(&runtime).iter(|| store.verify_any(credentials, &wrong));
        });
    }
    group.finish();
}

/// Nothing proved before, the right secret: one bcrypt.
fn cold_right(criterion: &mut Criterion) {
    let (runtime, store, credentials, right) = set_up(&[]);
    let mut group = criterion.benchmark_group("selector/cold/right");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let (_, newest) = credentials.last().expect("there are twenty");
    group.bench_function("bare", |bencher| {
        bencher.iter(|| bare_bcrypt(black_box(newest.current.payload()), black_box(right.expose_secret())));
    });
    for count in [1, 5, 20] {
        let credentials = &credentials[credentials.len() - count..];
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("right", count), |bencher| {
            bencher.to_async(&runtime).iter(|| store.verify_any(credentials, &right));
        });
    }
    group.finish();
}

/// A store with selector keys over bcrypt in these layers, twenty credentials of one client, and the secret of the last.
fn set_up(layers: &[&dyn Layer]) -> (Runtime, SecretStore, Credentials, ClientSecret) {
    let runtime = Runtime::new().expect("there are threads");
    let keys = MacKeys::parse("bench:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92").expect("sound");
    let store = SecretStore::builder(around(layers)).selector_keys(keys).build().expect("one backend is fine");
    let mut credentials = Vec::with_capacity(20);
    let mut last = secret();
    for number in 0..20 {
        let issued = runtime.block_on(store.issue(&key(number))).expect("it stores");
        let secrets = CredentialSecrets { current: issued.stored, selector: issued.selector, previous: None };
        credentials.push((key(number), secrets));
        last = issued.secret;
    }
    (runtime, store, credentials, last)
}

fn around(layers: &[&dyn Layer]) -> SharedBackend {
    let bcrypt: std::sync::Arc<dyn SecretBackend> =
        std::sync::Arc::new(Bcrypt::builder().build().expect("defaults are fine"));
    stack(bcrypt, layers)
}

/// The primitive, its key taken in beforehand.
fn bare_mac<M: criterion::measurement::Measurement>(
    group: &mut criterion::BenchmarkGroup<'_, M>,
    secret: &ClientSecret,
) {
    let keyed = Hmac::<Sha256>::new_from_slice(&[7; 32]).expect("a key may have any length");
    group.bench_function("bare", |bencher| {
        bencher.iter(|| {
            let mut mac = keyed.clone();
            mac.update(black_box(secret.expose_secret().as_bytes()));
            mac.finalize()
        });
    });
}

#[expect(clippy::disallowed_methods, reason = "the bare primitive is what the library is measured against")]
fn bare_bcrypt(digest: &str, secret: &str) -> bool {
    bcrypt::verify(secret, digest).expect("the digest is sound")
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
