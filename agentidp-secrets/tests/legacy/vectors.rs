//! Digests that other software published verify here, each at the backend of its form, and another secret does not.
//!
//! `vectors.tsv` has them with their sources. Those whose secret is no text are tested inside the library.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::backends::legacy::{LegacyKdf, LegacySha};
use agentidp_secrets::backends::{Argon2id, Bcrypt, DigestLimits, Memory};
use agentidp_secrets::{
    ClientSecret, CredentialKey, SecretBackend, SecretStore, SharedBackend, StoredSecret, VerifyError,
};
use futures_util::{StreamExt, stream};

const VECTORS: &str = include_str!("vectors.tsv");
const OF_BYTES: &str = include_str!("../../src/backends/legacy/bytes.tsv");
const GUIDE: &str = include_str!("../../src/guide/legacy.md");

struct Vector {
    source: &'static str,
    backend: &'static str,
    secret: String,
    digest: &'static str,
}

fn vectors() -> impl Iterator<Item = Vector> {
    lines(VECTORS).map(|line| {
        let [source, backend, secret, digest] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        Vector { source, backend, secret: serde_json::from_str(secret).unwrap(), digest }
    })
}

fn lines(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().filter(|line| !line.starts_with('#'))
}

fn backends() -> [SharedBackend; 4] {
    // Three vectors ask for more than the bounds take unless set, and digests wait for each other.
    let limits = || DigestLimits::default().max_wait(Duration::from_secs(3600));
    [
        Arc::new(Bcrypt::builder().max_stored_cost(15).limits(limits()).build().unwrap()),
        Arc::new(Argon2id::builder().max_stored_memory_kib(262_144).limits(limits()).build().unwrap()),
        Arc::new(LegacyKdf::builder().limits(limits()).build().unwrap()),
        Arc::new(LegacySha::builder().bare_hex().bare_base64().bare_base64url().limits(limits()).build().unwrap()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_published_digest_verifies_and_another_secret_does_not() {
    let store = backends().into_iter().fold(SecretStore::builder(Memory::new()), |store, each| store.accepts(each));
    let store = store.build().unwrap();
    let key = CredentialKey::parse("client", "credential").unwrap();
    let wrong = stream::iter(vectors())
        .map(async |Vector { source, secret, digest, .. }| {
            let row = StoredSecret::parse(digest).unwrap().into();
            let right = store.verify(&key, &row, &ClientSecret::from(secret.as_str())).await;
            let another = store.verify(&key, &row, &ClientSecret::from(format!("{secret}!"))).await;
            let held =
                right.as_ref().is_ok_and(|proof| proof.outdated) && matches!(another, Err(VerifyError::Mismatch));
            (!held).then(|| format!("{source}: {digest}: {right:?}, {another:?}"))
        })
        .buffer_unordered(4)
        .filter_map(async |wrong| wrong)
        .collect::<Vec<_>>()
        .await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_form_is_recognised_by_exactly_one_backend() {
    let backends = backends();
    for Vector { backend, digest, .. } in vectors() {
        let recognise = backends.iter().filter(|each| each.recognises(digest)).map(|each| each.info().id.as_str());
        assert_eq!(recognise.collect::<Vec<_>>(), [backend], "{digest}");
    }
}

/// OpenLDAP, Dovecot and Spring read the schemes of LDAP in any case.
#[tokio::test(flavor = "multi_thread")]
async fn a_scheme_in_braces_is_read_in_any_case() {
    let store = backends().into_iter().fold(SecretStore::builder(Memory::new()), |store, each| store.accepts(each));
    let (store, key) = (store.build().unwrap(), CredentialKey::parse("client", "credential").unwrap());
    let mut count = 0;
    let is_springs = |vector: &Vector| vector.source.starts_with("Spring") || vector.source == "Python's hashlib";
    for Vector { backend, secret, digest, .. } in vectors().filter(|vector| !is_springs(vector)) {
        let Some((scheme, rest)) = digest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else { continue };
        let (initial, others) = scheme.split_at(1);
        for written in [scheme.to_lowercase(), initial.to_owned() + &others.to_lowercase()] {
            let row = StoredSecret::parse(&format!("{{{written}}}{rest}")).unwrap();
            assert_eq!(store.backend_of(&row).as_str(), backend, "{written}");
            store.verify(&key, &row.into(), &ClientSecret::from(secret.as_str())).await.unwrap();
        }
        count += 1;
    }
    assert!(count >= 20, "{count}");
}

#[test]
fn the_guide_counts_the_vectors_by_source() {
    let mut counts = BTreeMap::new();
    let sources =
        vectors().map(|vector| vector.source).chain(lines(OF_BYTES).filter_map(|line| line.split('\t').next()));
    for source in sources {
        *counts.entry(source).or_insert(0) += 1;
    }
    let all: usize = counts.values().sum();
    assert!(all >= 400, "{all}");
    for (source, count) in counts.into_iter().chain([("all", all)]) {
        assert!(GUIDE.contains(&format!("| {source} | {count} |")), "| {source} | {count} | is not in the guide");
    }
}
