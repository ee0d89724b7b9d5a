//! Selectors beside bcrypt records: what a client with many credentials costs, warm and cold.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has to stop")]

mod support;

use std::hint::black_box;
use std::time::Duration;

use agentidp_secrets::backends::Bcrypt;
use agentidp_secrets::layers::WarmLayer;
use agentidp_secrets::{ClientSecret, Layer, MacKeys, SecretStore, stack};
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use tokio::runtime::Runtime;

use self::support::{Credentials, bare_mac, by_count, runtime, secret, twenty};

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
    by_count(&mut group, (&runtime, &store), &credentials, &[("right", &right), ("wrong", &wrong)]);
    group.finish();
}

/// Nothing proved before, a wrong secret: one MAC.
fn cold_wrong(criterion: &mut Criterion) {
    let (runtime, store, credentials, right) = set_up(&[]);
    let mut group = criterion.benchmark_group("selector/cold/wrong");
    bare_mac(&mut group, &right);
    by_count(&mut group, (&runtime, &store), &credentials, &[("wrong", &secret())]);
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
    by_count(&mut group, (&runtime, &store), &credentials, &[("right", &right)]);
    group.finish();
}

/// A store with selector keys over bcrypt in these layers, twenty credentials of one client, and the secret of the last.
fn set_up(layers: &[&dyn Layer]) -> (Runtime, SecretStore, Credentials, ClientSecret) {
    let runtime = runtime();
    let bcrypt = stack(Bcrypt::builder().build().expect("defaults are fine"), layers);
    let keys = "bench:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92";
    let keys = MacKeys::parse(keys).expect("a sound key");
    let store = SecretStore::builder(bcrypt).selector_keys(keys).build().expect("one backend is fine");
    let (credentials, last) = twenty(&runtime, &store);
    (runtime, store, credentials, last)
}

#[expect(clippy::disallowed_methods, reason = "the bare primitive is what the library is measured against")]
fn bare_bcrypt(digest: &str, secret: &str) -> bool {
    bcrypt::verify(secret, digest).expect("the digest is sound")
}
