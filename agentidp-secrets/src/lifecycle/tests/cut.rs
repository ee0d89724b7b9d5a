//! Over a database whose parts fail the caller: a sequence that is cut off, and a replica that is behind.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::Site;
use crate::credential::{ClientId, CredentialKey};
use crate::lifecycle::{
    ClientRows, CommitError, Decision, Entry, Failure, Freshness, Known, Ledger, Lifecycle, MemoryError, MemoryLedger,
    MemoryTx, Note, Row,
};
use crate::store::SecretStore;

/// Reads what will do from a replica that hears of nothing any more, and panics where others would be told of a change.
struct Unsound {
    primary: MemoryLedger,
    replica: Option<MemoryLedger>,
    panics: bool,
}

impl Unsound {
    fn over(site: &Site, replica: Option<MemoryLedger>, panics: bool) -> Lifecycle<Self> {
        let ledger = Self { primary: site.ledger.clone(), replica, panics };
        Lifecycle::new(site.life.store().clone(), ledger, |task| drop(tokio::spawn(task)))
    }
}

#[async_trait]
impl Ledger for Unsound {
    type Tx = MemoryTx;
    type Error = MemoryError;

    async fn begin(&self) -> Result<MemoryTx, MemoryError> {
        self.primary.begin().await
    }

    async fn commit(&self, tx: MemoryTx) -> Result<(), CommitError<MemoryError>> {
        self.primary.commit(tx).await
    }

    async fn now(&self, tx: &mut MemoryTx) -> Result<SystemTime, MemoryError> {
        self.primary.now(tx).await
    }

    async fn lock(&self, tx: &mut MemoryTx, key: &CredentialKey) -> Result<Entry, MemoryError> {
        self.primary.lock(tx, key).await
    }

    async fn insert(&self, tx: &mut MemoryTx, row: &Row) -> Result<(), MemoryError> {
        self.primary.insert(tx, row).await
    }

    async fn replace(&self, tx: &mut MemoryTx, row: &Row) -> Result<(), MemoryError> {
        self.primary.replace(tx, row).await
    }

    async fn end(&self, tx: &mut MemoryTx, key: &CredentialKey) -> Result<(), MemoryError> {
        self.primary.end(tx, key).await
    }

    async fn note(&self, tx: &mut MemoryTx, key: &CredentialKey, note: Option<&Note>) -> Result<(), MemoryError> {
        self.primary.note(tx, key, note).await
    }

    async fn due(&self, limit: usize) -> Result<Vec<CredentialKey>, MemoryError> {
        self.primary.due(limit).await
    }

    async fn rows(&self, client: &ClientId, freshness: Freshness) -> Result<ClientRows, MemoryError> {
        let Some(replica) = self.replica.as_ref().filter(|_| freshness == Freshness::Cached) else {
            return self.primary.rows(client, freshness).await;
        };
        let known = replica.rows(client, freshness).await?.known;
        Ok(ClientRows::behind(known.map(|known| Known::new(known.may_authenticate(), known.rows()))))
    }

    async fn acknowledge(&self, _client: &ClientId) {
        assert!(!self.panics, "as told");
    }

    async fn page(&self, after: Option<&CredentialKey>, limit: usize) -> Result<Vec<Row>, MemoryError> {
        self.primary.page(after, limit).await
    }
}

#[tokio::test]
async fn a_sequence_that_is_cut_off_never_says_that_nothing_has_changed() {
    let site = super::site();
    let first = site.life.issue(&site.key, ()).await.unwrap();
    let life = Unsound::over(&site, None, true);
    let cut = life.rotate(&site.key, Duration::ZERO, ()).await;
    assert!(matches!(cut, Err(Failure::Cut)), "{cut:?}");
    assert!(!site.works(&first.secret).await, "it was committed");

    // A spawner that drops what it was given.
    let idle = Lifecycle::new(site.life.store().clone(), site.ledger.clone(), drop);
    assert!(matches!(idle.end(&site.key, ()).await, Err(Failure::Cut)));
    let second = site.life.rotate(&site.key, Duration::ZERO, ()).await.unwrap();
    assert!(site.works(&second.secret).await, "as the failure says: rotate once more");
}

#[tokio::test]
async fn rows_of_a_replica_that_is_behind_refuse_nobody() {
    let site = super::over(&super::clock(), SecretStore::builder);
    let absent = Unsound::over(&site, Some(site.ledger.copy()), false);
    let first = site.life.issue(&site.key, ()).await.unwrap();
    let proved = |decision| matches!(decision, Decision::Proved(_));
    let client = site.key.client_id();
    assert!(proved(absent.authenticate(client, &first.secret).await.unwrap()), "the replica knows no such client");

    let behind = Unsound::over(&site, Some(site.ledger.copy()), false);
    let second = site.life.rotate(&site.key, Duration::ZERO, ()).await.unwrap();
    assert!(proved(behind.authenticate(client, &second.secret).await.unwrap()), "the replica knows the old secret");
    // The old one is let in by the replica, and by nobody right before the answer.
    let Decision::Proved(proof) = behind.authenticate(client, &first.secret).await.unwrap() else { panic!("known") };
    assert!(!proved(behind.still_counts(proof, &first.secret).await.unwrap()));
}
