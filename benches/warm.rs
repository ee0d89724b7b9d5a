//! Warm verification beside a bare MAC of the candidate.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has to stop")]

use std::hint::black_box;
use std::time::Duration;

use agentidp_secrets::backends::{Bcrypt, Memory};
use agentidp_secrets::layers::WarmLayer;
use agentidp_secrets::{
    ClientSecret, CredentialKey, CredentialSecrets, SecretBackend, SecretStore, SharedBackend, stack,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::runtime::Runtime;

type Credentials = Vec<(CredentialKey, CredentialSecrets)>;

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
    bare(&mut group, &secret);
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
    let (credentials, right) = runtime.block_on(proved(&store, 20));
    let wrong = secret();
    let mut group = criterion.benchmark_group("warm/store");
    bare(&mut group, &right);
    group.bench_function("decoy", |bencher| bencher.to_async(&runtime).iter(|| store.verify_decoy(&wrong)));
    for count in [1, 5, 20] {
        // The right secret is the last one's: the worst case.
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

/// What no design that takes a MAC of the candidate can go below: the same primitive, its key taken in beforehand.
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

/// That many credentials of one client, each proved once, and the secret of the last.
async fn proved(store: &SecretStore, count: usize) -> (Credentials, ClientSecret) {
    let mut credentials = Vec::with_capacity(count);
    let mut last = secret();
    for number in 0..count {
        let issued = store.issue(&key(number)).await.expect("it stores");
        let secrets = CredentialSecrets::from(issued.stored);
        store.verify(&key(number), &secrets, &issued.secret).await.expect("it is the secret");
        credentials.push((key(number), secrets));
        last = issued.secret;
    }
    (credentials, last)
}

fn warm(backend: impl SecretBackend) -> SharedBackend {
    // Longer than a run.
    let layer = WarmLayer::builder().lifetime(Duration::from_secs(86_400)).build().expect("defaults are fine");
    stack(backend, &[&layer])
}

fn bcrypt() -> impl SecretBackend {
    Bcrypt::builder().build().expect("defaults are fine")
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
