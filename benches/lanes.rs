//! bcrypt digests that are verified together, on one thread, beside the crate's one.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has to stop")]

use std::hint::black_box;
use std::time::Duration;

use agentidp_secrets::backends::Bcrypt;
use agentidp_secrets::{ClientSecret, CredentialKey, SecretBackend, StoredSecret};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use tokio::runtime::Runtime;

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_secs(1));
    targets = lanes
}
criterion_main!(benches);

fn lanes(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("there are threads");
    let bcrypt = Bcrypt::builder().max_concurrency(1).build().expect("defaults are fine");
    let secret = ClientSecret::generate().expect("there is randomness");
    let records: Vec<_> = (0..8).map(|number| runtime.block_on(record(&bcrypt, number, &secret))).collect();
    let mut group = criterion.benchmark_group("lanes");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(1));
    group.bench_function("bare", |bencher| {
        let (_, stored) = records.first().expect("there are some");
        bencher.iter(|| bare(black_box(stored.payload()), black_box(secret.expose_secret())));
    });
    for count in [1, 2, 3, 4, 8] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("together", count), |bencher| {
            let verify = |(key, stored)| bcrypt.verify(key, stored, &secret);
            bencher
                .to_async(&runtime)
                .iter(|| join_all(records.iter().take(count).map(|(key, stored)| verify((key, stored)))));
        });
    }
    group.finish();
}

/// A record of a client of its own.
async fn record(bcrypt: &impl SecretBackend, number: usize, secret: &ClientSecret) -> (CredentialKey, StoredSecret) {
    let key = CredentialKey::parse(&format!("client-{number}"), "credential").expect("fit for an id");
    let stored = bcrypt.store(&key, secret).await.expect("it digests");
    (key, stored)
}

#[expect(clippy::disallowed_methods, reason = "the bare primitive is what the library is measured against")]
fn bare(digest: &str, secret: &str) -> bool {
    bcrypt::verify(secret, digest).expect("the digest is sound")
}
