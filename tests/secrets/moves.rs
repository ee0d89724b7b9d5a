//! Every move between two backends, by `upgrade` and by `rotate`, on a real OpenBao.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::backends::{Bcrypt, KeyedDigest, Sealed};
use agentidp_secrets::testkit::fresh_key;
use agentidp_secrets::vault::VaultKv2;
use agentidp_secrets::vault::transit::VaultTransit;
use agentidp_secrets::{
    BackendId, ClientSecret, CredentialKey, CredentialSecrets, Generation, ImportedSecret, MacKeys, SecretBackend,
    SecretStore, SharedBackend, VerifyError,
};

use crate::support;
use crate::support::bao::transit::TransitMount;

const GRACE: Duration = Duration::from_secs(3600);

/// One backend of each kind.
async fn backends() -> Vec<SharedBackend> {
    let bao = support::bao();
    let (kv, transit) = (bao.fresh_mount(2).await, bao.fresh_transit().await);
    let keys = MacKeys::parse("k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92").unwrap();
    vec![
        Arc::new(Bcrypt::builder().minimum_cost_for_tests().build().unwrap()),
        Arc::new(KeyedDigest::new(keys.clone())),
        Arc::new(Sealed::new(keys)),
        Arc::new(VaultKv2::builder(bao.address(), kv.policy_token.as_str()).mount(kv.name).build().unwrap()),
        Arc::new(
            VaultTransit::builder(bao.address(), transit.policy_token.as_str(), TransitMount::KEY)
                .mount(transit.name)
                .build()
                .unwrap(),
        ),
    ]
}

fn over(primary: &SharedBackend, accepted: &SharedBackend) -> SecretStore {
    SecretStore::builder(Arc::clone(primary)).accepts(Arc::clone(accepted)).build().unwrap()
}

/// The secret proves, in this generation and this state; another one is decided to be wrong.
async fn proves(
    store: &SecretStore,
    (key, row): (&CredentialKey, &CredentialSecrets),
    secret: &ClientSecret,
    expected: (Generation, bool),
    how: &str,
) {
    let proof = store.verify(key, row, secret).await.unwrap_or_else(|error| panic!("{how}: {error:?}"));
    assert_eq!((proof.generation, proof.outdated), expected, "{how}");
    let wrong = store.verify(key, row, &ClientSecret::generate().unwrap()).await;
    assert!(matches!(wrong, Err(VerifyError::Mismatch)), "{how}: {wrong:?}");
}

#[tokio::test]
async fn every_pair_of_backends_moves_both_ways() {
    let backends = backends().await;
    for from in &backends {
        for to in backends.iter().filter(|to| to.info().id != from.info().id) {
            let how = format!("{} to {}", from.info().id, to.info().id);
            let (before, store) = (over(from, to), over(to, from));
            let current = Generation::Current;

            let key = fresh_key();
            let issued = before.issue(&key).await.unwrap();
            let row = CredentialSecrets::from(issued.stored);
            proves(&store, (&key, &row), &issued.secret, (current, true), &how).await;
            let proof = store.verify(&key, &row, &issued.secret).await.unwrap();
            let upgraded = store.upgrade(&key, &row.current, &proof, &issued.secret).await.unwrap().expect(&how);
            assert_eq!(upgraded.stored.backend(), &to.info().id, "{how}");
            let row = CredentialSecrets::from(upgraded.stored);
            proves(&store, (&key, &row), &issued.secret, (current, false), &how).await;
            let shown = to.reveal(&key, &row.current).await.unwrap();
            assert_eq!(shown.is_some_and(|shown| shown.ct_eq(&issued.secret)), to.info().reveals, "{how}");

            let key = fresh_key();
            let issued = before.issue(&key).await.unwrap();
            let rotated = store.rotate(&key, &issued.stored.into(), GRACE).await.unwrap();
            assert_eq!(rotated.stored.backend(), &to.info().id, "{how}");
            let row = CredentialSecrets { current: rotated.stored, selector: None, previous: rotated.previous };
            proves(&store, (&key, &row), &rotated.secret, (current, false), &how).await;
            let old = store.verify(&key, &row, &issued.secret).await.unwrap();
            assert_eq!(old.generation, Generation::Previous, "{how}");
            store.revoke(&key, &row).await.unwrap();
        }
    }
}

/// Keyed digests take none: a bcrypt row of it stays there.
#[tokio::test]
async fn a_chosen_secret_moves_wherever_it_may() {
    let backends = backends().await;
    let (bcrypt, chosen) = (&backends[0], ClientSecret::from("correct horse"));
    for to in &backends[1..] {
        let (key, store) = (fresh_key(), over(to, bcrypt));
        let stored = bcrypt.store(&key, &chosen).await.unwrap();
        let proof = store.verify(&key, &stored.clone().into(), &chosen).await.unwrap();
        let upgraded = store.upgrade(&key, &stored, &proof, &chosen).await.unwrap();
        let takes_chosen = to.info().id != BackendId::KEYED_DIGEST;
        assert_eq!(upgraded.is_some(), takes_chosen, "{}", to.info().id);
        let imported = store.import(&fresh_key(), &ImportedSecret::foreign(chosen.clone(), 40)).await;
        assert_eq!(imported.is_ok(), takes_chosen, "{}: {imported:?}", to.info().id);
    }
}

#[tokio::test]
async fn no_outage_of_one_hides_what_another_proves() {
    let backends = backends().await;
    let gone = VaultTransit::builder("http://127.0.0.1:1", "s.t", TransitMount::KEY).build().unwrap();
    let transit = &backends[4];
    for other in &backends[..4] {
        let store = SecretStore::builder(Arc::clone(other)).accepts(gone.clone()).build().unwrap();
        let (mut credentials, mut secret) = (Vec::new(), ClientSecret::generate().unwrap());
        for backend in [transit, other] {
            let key = fresh_key();
            secret = ClientSecret::generate().unwrap();
            let stored = backend.store(&key, &secret).await.unwrap();
            credentials.push((key, CredentialSecrets::from(stored)));
        }
        let verified = store.verify_any(&credentials, &secret).await.unwrap();
        assert_eq!(verified.index, 1, "{}", other.info().id);
        // A wrong one is not decided while Vault might have known it.
        let undecided = store.verify_any(&credentials, &ClientSecret::generate().unwrap()).await.unwrap_err();
        assert!(matches!(undecided, VerifyError::Backend(error) if error.is_retryable()), "{}", other.info().id);
    }
}
