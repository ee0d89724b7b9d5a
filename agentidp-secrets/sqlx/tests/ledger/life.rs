//! The sequences of the lifecycle over both databases.

use std::time::Duration;

use agentidp_secrets::backends::{Bcrypt, Memory};
use agentidp_secrets::lifecycle::{Change, Decision, Failure, Ledger, Row, State};
use agentidp_secrets::{ClientId, ClientSecret, CredentialKey, ImportedSecret, SecretBackend as _, SecretStore};
use agentidp_secrets_sqlx::{Error, PgLedger, PgTx, SqliteLedger, SqliteTx};
use async_trait::async_trait;

use crate::site::{Site, on_postgres, on_sqlite, over};

async fn a_whole_life<L: Ledger + Clone, P: Sync>(site: Site<L, P>) {
    let (life, key, hour) = (&site.life, &site.key, Duration::from_secs(3600));
    let first = life.issue(key, ()).await.unwrap();
    assert!(site.works(&first.secret).await);
    let second = life.rotate(key, hour, ()).await.unwrap();
    assert!(site.works(&first.secret).await && site.works(&second.secret).await, "both work within the overlap");
    life.end_previous(key, ()).await.unwrap();
    assert!(!site.works(&first.secret).await && site.works(&second.secret).await);
    life.end(key, ()).await.unwrap();
    assert!(!site.works(&second.secret).await);
    assert!(matches!(life.end(key, ()).await, Err(Failure::Ended)));
    assert!(matches!(life.issue(key, ()).await, Err(Failure::Exists)));
    assert!(matches!(
        life.authenticate(key.client_id(), &second.secret).await.unwrap(),
        Decision::Mismatch { known: true }
    ));
    let nobody = ClientId::parse("agent-8").unwrap();
    assert!(matches!(life.authenticate(&nobody, &second.secret).await.unwrap(), Decision::Mismatch { known: false }));
}

#[tokio::test]
async fn a_secret_works_from_its_issue_to_its_end_on_postgresql() {
    a_whole_life(on_postgres().await).await;
}

#[tokio::test]
async fn a_secret_works_from_its_issue_to_its_end_on_sqlite() {
    a_whole_life(on_sqlite().await).await;
}

/// A secret that is brought, and a digest that another program wrote.
async fn secrets_move_in<L: Ledger + Clone, P: Sync>(mut site: Site<L, P>) {
    let secret = ClientSecret::from("correct horse battery staple");
    let imported = ImportedSecret::foreign(secret.clone(), 0);
    site.life.import(&site.key, &imported, ()).await.unwrap();
    assert!(site.works(&secret).await);
    assert!(matches!(site.life.import(&site.key, &imported, ()).await, Err(Failure::Backend(_))));
    let rotated = site.life.rotate(&site.key, Duration::from_secs(3600), ()).await.unwrap();
    assert!(site.works(&secret).await && site.works(&rotated.secret).await);

    let bcrypt = || Bcrypt::builder().build().unwrap();
    let store = SecretStore::builder(Memory::new()).accepts(bcrypt()).build().unwrap();
    site.life = over(site.ledger.clone(), store);
    site.key = CredentialKey::parse("https://idp.example/8", "c1").unwrap();
    let digest = bcrypt().store(&site.key, &secret).await.unwrap();
    site.life.take_over(&site.key, &digest, ()).await.unwrap();
    assert!(site.works(&secret).await);
    assert!(matches!(site.life.take_over(&site.key, &digest, ()).await, Err(Failure::Exists)));
}

#[tokio::test]
async fn secrets_that_were_made_elsewhere_move_in_on_postgresql() {
    secrets_move_in(on_postgres().await).await;
}

#[tokio::test]
async fn secrets_that_were_made_elsewhere_move_in_on_sqlite() {
    secrets_move_in(on_sqlite().await).await;
}

/// Rotations that race for one credential: each is carried out, and only the last one's secret works.
async fn rotations_race<L: Ledger + Clone, P: Sync>(site: Site<L, P>) {
    site.life.issue(&site.key, ()).await.unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (life, key) = (site.life.clone(), site.key.clone());
            tokio::spawn(async move { life.rotate(&key, Duration::ZERO, ()).await })
        })
        .collect();
    let mut shown = Vec::new();
    for task in tasks {
        shown.push(task.await.unwrap().unwrap());
    }
    let mut working = 0;
    for shown in shown {
        working += usize::from(site.works(&shown.secret).await);
    }
    assert_eq!(working, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_that_race_go_one_after_the_other_on_postgresql() {
    rotations_race(on_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_that_race_go_one_after_the_other_on_sqlite() {
    rotations_race(on_sqlite().await).await;
}

/// Suspends the client beside the change, and then refuses or not.
struct Suspend<L> {
    ledger: L,
    refuse: bool,
}

macro_rules! suspend_on {
    ($ledger:ty, $tx:ty) => {
        #[async_trait]
        impl Change<$ledger> for Suspend<$ledger> {
            async fn after(&self, tx: &mut $tx, row: &Row) -> Result<(), Error> {
                self.ledger.set_active(tx, row.key.client_id(), false).await?;
                if self.refuse { Err(Error::refuse("not today")) } else { Ok(()) }
            }
        }
    };
}

suspend_on!(PgLedger, PgTx);
suspend_on!(SqliteLedger, SqliteTx);

/// What the caller writes in a change is committed with it, or not at all.
async fn a_change_is_part_of_the_commit<L, P: Sync>(site: Site<L, P>)
where
    L: Ledger + Clone,
    Suspend<L>: Change<L>,
{
    let change = |refuse| Suspend { ledger: site.ledger.clone(), refuse };
    let shown = site.life.issue(&site.key, ()).await.unwrap();
    let Decision::Proved(proof) = site.life.authenticate(site.key.client_id(), &shown.secret).await.unwrap() else {
        panic!("a fresh secret works");
    };

    let refused = site.life.rotate(&site.key, Duration::ZERO, change(true)).await.unwrap_err();
    assert_eq!(refused.to_string(), "not today");
    assert!(site.works(&shown.secret).await, "neither the secret nor the client has changed");

    let other = CredentialKey::parse("agent-7", "credential-2").unwrap();
    site.life.issue(&other, change(false)).await.unwrap();
    assert!(matches!(site.life.authenticate(site.key.client_id(), &shown.secret).await.unwrap(), Decision::NotActive));
    assert!(
        matches!(site.life.still_counts(proof, &shown.secret).await.unwrap(), Decision::NotActive),
        "a login that is under way gets no token"
    );
}

#[tokio::test]
async fn a_change_is_committed_with_the_callers_writes_on_postgresql() {
    a_change_is_part_of_the_commit(on_postgres().await).await;
}

#[tokio::test]
async fn a_change_is_committed_with_the_callers_writes_on_sqlite() {
    a_change_is_part_of_the_commit(on_sqlite().await).await;
}

/// After an issue that was refused nothing is left of the credential but the deletion of its place.
async fn a_refused_issue_leaves_a_debt<L, P: Sync>(site: Site<L, P>)
where
    L: Ledger + Clone,
    Suspend<L>: Change<L>,
{
    let change = Suspend { ledger: site.ledger.clone(), refuse: true };
    site.life.issue(&site.key, change).await.unwrap_err();
    let mut tx = site.ledger.begin().await.unwrap();
    let entry = site.ledger.lock(&mut tx, &site.key).await.unwrap();
    assert_eq!((entry.state, entry.note.unwrap().debts.len()), (State::Absent, 1));
}

#[tokio::test]
async fn a_refused_issue_is_forgotten_by_the_backend_on_postgresql() {
    a_refused_issue_leaves_a_debt(on_postgres().await).await;
}

#[tokio::test]
async fn a_refused_issue_is_forgotten_by_the_backend_on_sqlite() {
    a_refused_issue_leaves_a_debt(on_sqlite().await).await;
}
