//! The verify paths without services, each beside its bare primitive.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has to stop")]

use std::hint::black_box;
use std::time::Duration;

use agentidp_secrets::backends::{Argon2id, Bcrypt, Memory};
use agentidp_secrets::{ClientSecret, CredentialKey, CredentialSecrets, SecretBackend, SecretStore, SharedBackend};
use argon2::password_hash::PasswordVerifier;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use subtle::ConstantTimeEq;
use tokio::runtime::Runtime;

type Credentials = Vec<(CredentialKey, CredentialSecrets)>;

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_secs(1));
    targets = backends, stores
}
criterion_main!(benches);

fn backends(criterion: &mut Criterion) {
    let bcrypt = Bcrypt::builder().build().expect("defaults are fine");
    backend(criterion, "bcrypt", bcrypt, bare_bcrypt);
    let argon2 = Argon2id::builder().build().expect("defaults are fine");
    backend(criterion, "argon2id", argon2, |digest, secret| {
        argon2::Argon2::default().verify_password(secret.as_bytes(), digest).is_ok()
    });
    backend(criterion, "memory", Memory::new(), bare_comparison);
}

/// One backend: the primitive on its own, then a right and a wrong candidate.
fn backend(criterion: &mut Criterion, name: &str, backend: impl SecretBackend, bare: fn(&str, &str) -> bool) {
    let runtime = runtime();
    let (key, secret, wrong) = (key(0), secret(), secret());
    let record = runtime.block_on(backend.store(&key, &secret)).expect("it stores");
    let mut group = criterion.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function("bare", |bencher| {
        bencher.iter(|| bare(black_box(record.payload()), black_box(secret.expose_secret())));
    });
    for (case, candidate) in [("right", &secret), ("wrong", &wrong)] {
        group.bench_function(case, |bencher| {
            bencher.to_async(&runtime).iter(|| backend.verify(&key, &record, candidate));
        });
    }
    group.finish();
}

fn stores(criterion: &mut Criterion) {
    let bcrypt = || std::sync::Arc::new(Bcrypt::builder().build().expect("defaults are fine")) as SharedBackend;
    store(criterion, "store/bcrypt", bcrypt(), bare_bcrypt);
    store(criterion, "store/memory", std::sync::Arc::new(Memory::new()), bare_comparison);
}

/// One store: the primitive on its own, then clients with ever more credentials.
fn store(criterion: &mut Criterion, name: &str, backend: SharedBackend, bare: fn(&str, &str) -> bool) {
    let runtime = runtime();
    let store = SecretStore::builder(backend).build().expect("one backend is fine");
    runtime.block_on(store.prepare()).expect("it digests");
    let (credentials, right) = runtime.block_on(issue(&store, 20));
    let wrong = secret();
    let mut group = criterion.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat);
    let (_, newest) = credentials.last().expect("there are twenty");
    group.bench_function("bare", |bencher| {
        bencher.iter(|| bare(black_box(newest.current.payload()), black_box(right.expose_secret())));
    });
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

/// That many credentials of one client, and the secret of the last.
async fn issue(store: &SecretStore, count: usize) -> (Credentials, ClientSecret) {
    let mut credentials = Vec::with_capacity(count);
    let mut last = secret();
    for number in 0..count {
        let issued = store.issue(&key(number)).await.expect("it stores");
        credentials.push((key(number), issued.stored.into()));
        last = issued.secret;
    }
    (credentials, last)
}

#[expect(clippy::disallowed_methods, reason = "the bare primitive is what the library is measured against")]
fn bare_bcrypt(digest: &str, secret: &str) -> bool {
    bcrypt::verify(secret, digest).expect("the digest is sound")
}

/// With itself: the memory backend's record holds no secret to compare with, and equal inputs take the longest.
fn bare_comparison(_record: &str, secret: &str) -> bool {
    secret.as_bytes().ct_eq(black_box(secret).as_bytes()).into()
}

fn key(number: usize) -> CredentialKey {
    CredentialKey::parse("client", &format!("credential-{number}")).expect("fit for an id")
}

fn secret() -> ClientSecret {
    ClientSecret::generate().expect("there is randomness")
}

fn runtime() -> Runtime {
    Runtime::new().expect("there are threads")
}
