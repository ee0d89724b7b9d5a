//! The verify paths on a real OpenBao, beside a bare GET of the same path.
#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has to stop")]

use std::time::Duration;

use agentidp_secrets::backends::VaultKv2;
use agentidp_secrets::vault::transit::VaultTransit;
use agentidp_secrets::{ClientSecret, CredentialKey, CredentialSecrets, SecretBackend, SecretStore};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

use self::support::bao::transit::TransitMount;

#[path = "../tests/support/mod.rs"]
#[expect(dead_code, clippy::panic, reason = "written for tests: it may stop them, and has more than is needed here")]
mod support;

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_secs(1));
    targets = vault, transit
}
criterion_main!(benches);

fn vault(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("there are threads");
    let server = runtime.block_on(support::Bao::start_own());
    let mount = runtime.block_on(server.fresh_mount(2));
    let backend = VaultKv2::builder(server.address(), mount.policy_token.as_str()).mount(mount.name);
    let backend = backend.build().expect("the settings are fine");
    let store = SecretStore::builder(backend.clone()).build().expect("one backend is fine");
    let (credentials, right) = runtime.block_on(issue(&store, 20));
    let wrong = ClientSecret::generate().expect("there is randomness");
    let (key, newest) = credentials.last().expect("there are twenty");

    let mut group = criterion.benchmark_group("vault");
    let client = reqwest::Client::new();
    let url = format!("{}/v1/{}", server.address(), newest.current.payload());
    group.bench_function("bare", |bencher| {
        bencher.to_async(&runtime).iter(async || {
            let request = client.get(&url).header("X-Vault-Token", mount.policy_token.as_str());
            request.send().await.expect("it answers").bytes().await.expect("all of it")
        });
    });
    for (case, candidate) in [("right", &right), ("wrong", &wrong)] {
        group.bench_function(case, |bencher| {
            bencher.to_async(&runtime).iter(|| backend.verify(key, &newest.current, candidate));
        });
    }
    for count in [1, 5, 20] {
        // The right secret is the last one's: the worst case.
        let credentials = &credentials[credentials.len() - count..];
        group.throughput(Throughput::Elements(count as u64));
        for (case, candidate) in [("right", &right), ("wrong", &wrong)] {
            group.bench_function(BenchmarkId::new(format!("store/{case}"), count), |bencher| {
                bencher.to_async(&runtime).iter(|| store.verify_any(credentials, candidate));
            });
        }
    }
    group.finish();
}

/// The other backend, which asks for one HMAC.
fn transit(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("there are threads");
    let server = runtime.block_on(support::Bao::start_own());
    let mount = runtime.block_on(server.fresh_transit());
    let backend = VaultTransit::builder(server.address(), mount.policy_token.as_str(), TransitMount::KEY);
    let backend = backend.mount(mount.name).build().expect("the settings are fine");
    let key = CredentialKey::parse("client", "credential").expect("fit for an id");
    let [right, wrong] = [(); 2].map(|()| ClientSecret::generate().expect("there is randomness"));
    let stored = runtime.block_on(backend.store(&key, &right)).expect("Vault takes it");
    let mut group = criterion.benchmark_group("transit");
    for (case, candidate) in [("right", &right), ("wrong", &wrong)] {
        group.bench_function(case, |bencher| {
            bencher.to_async(&runtime).iter(|| backend.verify(&key, &stored, candidate));
        });
    }
    group.finish();
}

/// That many credentials of one client, and the secret of the last.
async fn issue(store: &SecretStore, count: usize) -> (Vec<(CredentialKey, CredentialSecrets)>, ClientSecret) {
    let mut credentials = Vec::with_capacity(count);
    let mut last = ClientSecret::generate().expect("there is randomness");
    for number in 0..count {
        let key = CredentialKey::parse("client", &format!("credential-{number}")).expect("fit for an id");
        let issued = store.issue(&key).await.expect("Vault takes it");
        credentials.push((key, issued.stored.into()));
        last = issued.secret;
    }
    (credentials, last)
}
