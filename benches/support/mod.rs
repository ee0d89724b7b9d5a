//! What the benchmarks of paths that take well under a microsecond share.

use std::hint::black_box;

use agentidp_secrets::{ClientSecret, CredentialKey, CredentialSecrets, SecretStore};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Throughput};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::runtime::Runtime;

/// A client's credentials.
pub(crate) type Credentials = Vec<(CredentialKey, CredentialSecrets)>;

/// What no design that takes a MAC of the candidate can go below: the same primitive, its key taken in beforehand.
pub(crate) fn bare_mac(group: &mut BenchmarkGroup<'_, WallTime>, secret: &ClientSecret) {
    let keyed = Hmac::<Sha256>::new_from_slice(&[7; 32]).expect("a key may have any length");
    group.bench_function("bare", |bencher| {
        bencher.iter(|| {
            let mut mac = keyed.clone();
            mac.update(black_box(secret.expose_secret().as_bytes()));
            mac.finalize()
        });
    });
}

/// The last 1, 5 and 20 of the credentials, for each named candidate. A right one is the last one's: the worst case.
pub(crate) fn by_count(
    group: &mut BenchmarkGroup<'_, WallTime>,
    (runtime, store): (&Runtime, &SecretStore),
    credentials: &Credentials,
    candidates: &[(&str, &ClientSecret)],
) {
    for count in [1, 5, 20] {
        let credentials = &credentials[credentials.len() - count..];
        group.throughput(Throughput::Elements(count as u64));
        for &(case, candidate) in candidates {
            group.bench_function(BenchmarkId::new(case, count), |bencher| {
                bencher.to_async(runtime).iter(|| store.verify_any(credentials, candidate));
            });
        }
    }
}

/// Twenty new credentials of one client, with what the store keeps beside their records, and the secret of the last.
pub(crate) fn twenty(runtime: &Runtime, store: &SecretStore) -> (Credentials, ClientSecret) {
    let mut credentials = Vec::with_capacity(20);
    let mut last = secret();
    for number in 0..20 {
        let issued = runtime.block_on(store.issue(&key(number))).expect("it stores");
        let secrets = CredentialSecrets { current: issued.stored, selector: issued.selector, previous: None };
        credentials.push((key(number), secrets));
        last = issued.secret;
    }
    (credentials, last)
}

/// Ids as long as the server's, which are UUIDs.
pub(crate) fn key(number: usize) -> CredentialKey {
    CredentialKey::parse(
        "0f8fad5b-d9cb-469f-a165-70867728950e",
        &format!("7c9e6679-7425-40de-944b-e07fc1f9{number:04}"),
    )
    .expect("fit for an id")
}

pub(crate) fn secret() -> ClientSecret {
    ClientSecret::generate().expect("there is randomness")
}

pub(crate) fn runtime() -> Runtime {
    Runtime::new().expect("there are threads")
}
