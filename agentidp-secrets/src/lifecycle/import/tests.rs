use std::time::Duration;

use crate::backend::SecretBackend as _;
use crate::credential::CredentialKey;
use crate::error::{ErrorKind, Operation};
use crate::format::SecretFormat;
use crate::lifecycle::tests::{Dies, Refuses, Site, clock, over, quick, site};
use crate::lifecycle::{Failure, Row};
use crate::record::{BackendId, StoredSecret};
use crate::secret::ClientSecret;
use crate::stack;
use crate::store::{ImportedSecret, SecretStore};
use crate::testkit::{Fault, FaultLayer};

fn brought(text: &str) -> ImportedSecret {
    ImportedSecret::foreign(ClientSecret::from(text), 0)
}

#[tokio::test]
async fn a_secret_that_is_brought_works_and_lives_on_as_any_other() {
    let (site, secret) = (site(), ClientSecret::from("correct horse battery staple"));
    let row = site.life.import(&site.key, &brought(secret.expose_secret()), ()).await.unwrap();
    assert!(!format!("{row:?}").contains("horse") && site.note().is_none());
    assert!(site.works(&secret).await);
    assert!(matches!(site.life.import(&site.key, &brought("another"), ()).await, Err(Failure::Backend(_))));
    let rotated = site.life.rotate(&site.key, Duration::from_secs(60), ()).await.unwrap();
    assert!(site.works(&secret).await && site.works(&rotated.secret).await);
    site.life.end(&site.key, ()).await.unwrap();
    assert!(!site.works(&rotated.secret).await && site.forgotten().await);
}

#[tokio::test]
async fn an_import_that_is_not_committed_is_forgotten() {
    let site = site();
    let secret = brought("correct horse battery staple");
    assert!(matches!(site.life.import(&site.key, &secret, Refuses).await, Err(Failure::Ledger(_))));
    assert!(site.forgotten().await);
}

/// What becomes of an import.
#[derive(Clone, Copy, Debug)]
enum Ends {
    /// The backend does not answer, and was never reached.
    Unreached,
    /// The process dies before the commit.
    Dies,
}

/// Another program writes to the place after an import that has left no row.
#[tokio::test]
async fn an_import_without_a_row_deletes_nothing_later() {
    for ends in [Ends::Unreached, Ends::Dies] {
        let faults = FaultLayer::new();
        let site = over(&clock(), |memory| SecretStore::builder(stack(memory, &[&faults])));
        let (secret, theirs) = (brought("correct horse battery staple"), ClientSecret::from("theirs"));
        let version = match ends {
            Ends::Unreached => {
                faults.once(Operation::Store, Fault::Fail(ErrorKind::Unavailable));
                assert!(matches!(site.life.import(&site.key, &secret, ()).await, Err(Failure::Backend(_))));
                site.memory.store(&site.key, &theirs).await.unwrap();
                1
            }
            Ends::Dies => {
                assert!(site.life.import(&site.key, &secret, Dies).await.is_err());
                site.memory.overwrite(&site.key, 1, Some(&theirs)).await.unwrap();
                2
            }
        };
        for _ in 0..8 {
            site.clock.advance(Duration::from_secs(24 * 3600));
            site.life.round().await;
        }
        assert_eq!(site.versions().await, version, "{ends:?}");
        let place = site.memory.place(&site.key).unwrap();
        site.life.take_over(&site.key, &place, ()).await.unwrap();
        assert!(site.works(&theirs).await, "{ends:?}");
    }
}

#[tokio::test]
async fn what_another_program_keeps_is_neither_written_over_nor_deleted() {
    let (site, theirs) = (site(), ClientSecret::from("theirs"));
    site.memory.store(&site.key, &theirs).await.unwrap();
    let Err(Failure::Backend(refused)) = site.life.import(&site.key, &brought("ours"), ()).await else {
        panic!("the place is occupied");
    };
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains("`take_over`"), "{refused}");
    let place = site.memory.place(&site.key).unwrap();
    let refused = site.life.take_over(&site.key, &place, Refuses).await;
    assert!(matches!(refused, Err(Failure::Ledger(_))), "{refused:?}");
    site.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(site.life.round().await.due, 0);
    assert!(site.note().is_none() && site.versions().await == 1, "it is there, and nothing is owed");

    let row = site.life.take_over(&site.key, &place, ()).await.unwrap();
    let pinned = row.secrets.unwrap().current;
    assert_eq!(site.memory.points_to(&pinned).unwrap().version, Some(1));
    assert!(site.works(&theirs).await && site.note().is_none());
    let rotated = site.life.rotate(&site.key, Duration::from_secs(60), ()).await.unwrap();
    assert!(site.works(&theirs).await && site.works(&rotated.secret).await);
    assert!(matches!(site.life.take_over(&site.key, &place, ()).await, Err(Failure::Exists)));
    site.life.end(&site.key, ()).await.unwrap();
    assert!(site.forgotten().await, "from its commit on it is the credential's");
}

#[tokio::test]
async fn a_record_is_taken_over_only_where_it_can_be_proved() {
    let site = over(&clock(), |memory| SecretStore::builder(memory).accepts(quick()));
    let other = CredentialKey::parse("agent-7", "credential-2").unwrap();
    let kind = async |record: &StoredSecret| match site.life.take_over(&site.key, record, ()).await {
        Err(Failure::Backend(error)) => error.kind(),
        outcome => panic!("{outcome:?}"),
    };
    site.memory.store(&other, &ClientSecret::from("theirs")).await.unwrap();
    let elsewhere = site.memory.place(&other).unwrap();
    assert_eq!(kind(&elsewhere).await, ErrorKind::Malformed, "another credential's");
    assert_eq!(
        kind(&StoredSecret::new(BackendId::MEMORY, "agent-7/credential-1?version=1")).await,
        ErrorKind::NotFound
    );
    assert_eq!(kind(&StoredSecret::new(BackendId::KEYED_DIGEST, "damaged")).await, ErrorKind::Malformed);
    assert_eq!(kind(&StoredSecret::new(BackendId::BCRYPT, "$2b$")).await, ErrorKind::UnknownBackend);
    assert!(site.note().is_none());

    let secret = ClientSecret::generate().unwrap();
    let digest = quick().store(&site.key, &secret).await.unwrap();
    site.life.take_over(&site.key, &digest, ()).await.unwrap();
    assert!(site.works(&secret).await);
}

#[tokio::test]
async fn a_record_that_no_backend_claims_is_not_taken_over_and_never_called_a_wrong_secret() {
    let site = over(&clock(), |memory| SecretStore::builder(memory).accepts(quick()));
    let unclaimed = StoredSecret::parse("$6$rounds=5000$saltstring$digest").unwrap();
    assert_eq!(unclaimed.backend(), &BackendId::UNCLAIMED);
    let malformed = |error: &crate::Error| {
        assert_eq!((error.kind(), error.backend()), (ErrorKind::Malformed, Some(&BackendId::UNCLAIMED)));
        assert!(!format!("{error} {error:?}").contains("saltstring"), "{error:?}");
    };
    let Err(Failure::Backend(error)) = site.life.take_over(&site.key, &unclaimed, ()).await else { panic!("refused") };
    malformed(&error);
    assert!(site.note().is_none());

    // Somebody inserts the row by hand. Right or wrong, nobody can decide, and a rotation repairs it.
    site.life.ledger().put(Row::new(site.key.clone(), Some(unclaimed.into()), None));
    for candidate in ["right", "wrong"] {
        let outcome = site.life.authenticate(site.key.client_id(), &ClientSecret::from(candidate)).await;
        let Err(Failure::Backend(error)) = outcome else { panic!("{outcome:?}") };
        malformed(&error);
    }
    let rotated = site.life.rotate(&site.key, Duration::ZERO, ()).await.unwrap();
    assert!(site.works(&rotated.secret).await);
}

#[tokio::test]
async fn a_secret_that_could_never_be_proved_or_might_be_guessed_is_not_imported() {
    let kind = async |site: &Site, secret: &ImportedSecret| match site.life.import(&site.key, secret, ()).await {
        Err(Failure::Backend(error)) => error,
        outcome => panic!("{outcome:?}"),
    };
    let chosen = ClientSecret::from("correct horse battery staple");
    let error = kind(&site(), &ImportedSecret::of_form(chosen.clone())).await;
    assert!(error.to_string().contains("`ImportedSecret::foreign`"), "{error}");
    let strict = over(&clock(), |memory| SecretStore::builder(memory).formats(SecretFormat::documented()));
    let error = kind(&strict, &ImportedSecret::foreign(chosen.clone(), 256)).await;
    assert!(error.to_string().contains("accepting_any_other"), "{error}");
    assert!(!format!("{error} {error:?} {:?}", ImportedSecret::of_form(chosen)).contains("horse"));
    let generated = ImportedSecret::of_form(ClientSecret::generate().unwrap());
    assert!(strict.life.import(&strict.key, &generated, ()).await.is_ok());
}
