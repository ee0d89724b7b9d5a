//! Forms of secrets: which candidates are tried at all, and which records get selectors.

use super::*;
use crate::backends::KeyedDigest;
use crate::format::{Alphabet, SecretFormat, SecretFormats};

const KEYS: &str = "k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92";

fn ours() -> SecretFormat {
    SecretFormat::builder("acme_").digits(32).checksum().build().unwrap()
}

fn generated(format: &SecretFormat) -> ClientSecret {
    format.generate(key().credential_id()).unwrap()
}

async fn fixture(formats: SecretFormats, keys: Option<MacKeys>) -> Fixture {
    Fixture::prepared(1, |digest, remote| {
        let builder = SecretStore::builder(digest).accepts(remote).formats(formats);
        keys.into_iter().fold(builder, SecretStoreBuilder::selector_keys)
    })
    .await
}

#[tokio::test]
async fn a_malformed_candidate_costs_nothing_for_a_known_client_and_for_an_unknown_one() {
    let fixture = fixture(ours().into(), None).await;
    let secret = generated(&ours());
    let text = secret.expose_secret();
    let (digests, asked) = (fixture.digests(), fixture.asked());
    let off_by_one = format!("{}{}", &text[..42], if text.ends_with('0') { '1' } else { '0' });
    for candidate in ["", "correct horse", "sk_live_0", &text[..42], &off_by_one] {
        for record in [digest(text), remote(text), remote("down"), digest("corrupt")] {
            assert_eq!(fixture.verify(record, candidate).await, Err(None), "{candidate}");
        }
        let rows = [(key(), digest(text).into()), (key(), remote("down").into())];
        for rows in [&rows[..], &rows[..1], &[]] {
            let refused = fixture.store.verify_any(rows, &candidate.into()).await;
            assert!(matches!(refused, Err(VerifyError::Mismatch)), "{candidate}");
        }
        fixture.store.verify_decoy(&candidate.into()).await.unwrap();
    }
    assert_eq!((fixture.digests(), fixture.asked()), (digests, asked));
    assert!(fixture.verify(digest(text), text).await.is_ok());
    fixture.store.verify_decoy(&generated(&ours())).await.unwrap();
    assert_eq!(fixture.digests() - digests, 2, "a well-formed one costs a digest, whosever it is");
}

#[tokio::test]
async fn new_secrets_have_the_form_and_older_ones_still_count() {
    let older = SecretFormat::builder("").alphabet(Alphabet::Base64Url).digits(43).build().unwrap();
    let formats = SecretFormats::new(ours()).accepting(older.clone());
    let fixture = fixture(formats, Some(MacKeys::parse(KEYS).unwrap())).await;
    let issued = fixture.store.issue(&key()).await.unwrap();
    assert!(ours().fits(&issued.secret) && issued.selector.is_some());
    let rotated = fixture.store.rotate(&key(), &issued.stored.into(), GRACE).await.unwrap();
    assert!(ours().fits(&rotated.secret) && rotated.selector.is_some());

    let secret = generated(&older);
    let proof = fixture.verify(digest(secret.expose_secret()), secret.expose_secret()).await.unwrap();
    let secrets = CredentialSecrets { selector: proof.selector, ..digest(secret.expose_secret()).into() };
    assert!(secrets.selector.is_some(), "a key of a declared form gets one at its first proof");
    let digests = fixture.digests();
    let wrong = generated(&older);
    assert_eq!(fixture.verify(secrets, wrong.expose_secret()).await, Err(None));
    assert_eq!(fixture.digests(), digests, "and then a wrong one costs no digest");
}

#[tokio::test]
async fn chosen_secrets_count_where_they_are_let_in_and_get_no_selector() {
    let formats = SecretFormats::new(ours()).accepting_any_other();
    let fixture = fixture(formats, Some(MacKeys::parse(KEYS).unwrap())).await;
    let proof = fixture.verify(digest("correct horse"), "correct horse").await.unwrap();
    assert_eq!(proof.selector, None);
}

#[tokio::test]
async fn a_keyed_digest_takes_the_forms_that_it_is_given_and_no_other() {
    let keyed = KeyedDigest::new(MacKeys::parse(KEYS).unwrap()).with_formats(ours());
    let store = SecretStore::builder(keyed).formats(ours()).build().unwrap();
    let issued = store.issue(&key()).await.unwrap();
    assert!(store.verify(&key(), &issued.stored.into(), &issued.secret).await.is_ok());
    for refused in [ClientSecret::from("correct horse"), ClientSecret::generate().unwrap()] {
        let error = store.issue_with(&key(), refused).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSecret);
    }
}
