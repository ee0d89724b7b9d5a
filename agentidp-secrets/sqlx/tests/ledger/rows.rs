//! Rows, notes and times in the tables.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentidp_secrets::backends::{Bcrypt, Memory};
use agentidp_secrets::lifecycle::{Decision, Freshness, Ledger, Note, Revision, Row, State};
use agentidp_secrets::{ClientSecret, CredentialKey, ManualClock, SecretStore, StoredSecret};
use agentidp_secrets_sqlx::{PgLedger, SqliteLedger};
use sqlx::PgPool;

use crate::database_clock::set_database_clock;
use crate::site::{Site, on_postgres, on_sqlite, over};
use crate::support::postgres;

async fn in_tx<L: Ledger>(ledger: &L, work: impl AsyncFnOnce(&mut L::Tx) -> Result<(), L::Error>) {
    let mut tx = ledger.begin().await.unwrap();
    work(&mut tx).await.unwrap();
    ledger.commit(tx).await.unwrap();
}

async fn notes_are_kept_without_a_row<L: Ledger, P: Sync>(site: Site<L, P>) {
    let (ledger, key) = (&site.ledger, &site.key);
    let note = Note::parse("debt delete 0 - 0 0 {memory}x\n").unwrap();
    in_tx(ledger, async |tx| ledger.note(tx, key, Some(&note)).await).await;
    let mut tx = ledger.begin().await.unwrap();
    let entry = ledger.lock(&mut tx, key).await.unwrap();
    drop(tx);
    assert_eq!((entry.state, entry.note.as_ref()), (State::Absent, Some(&note)));
    assert_eq!(ledger.due(10).await.unwrap(), std::slice::from_ref(key));
    assert!(ledger.rows(key.client_id(), Freshness::Latest).await.unwrap().known.is_none());

    in_tx(ledger, async |tx| ledger.note(tx, key, None).await).await;
    assert!(ledger.due(10).await.unwrap().is_empty());
    let row = Row::new(key.clone(), Some(StoredSecret::parse("{memory}x").unwrap().into()), None);
    in_tx(ledger, async |tx| ledger.insert(tx, &row).await).await;
    let mut tx = ledger.begin().await.unwrap();
    assert!(ledger.insert(&mut tx, &row).await.is_err(), "a row of this key is there");
}

#[tokio::test]
async fn a_note_is_kept_without_a_row_on_postgresql() {
    notes_are_kept_without_a_row(on_postgres().await).await;
}

#[tokio::test]
async fn a_note_is_kept_without_a_row_on_sqlite() {
    notes_are_kept_without_a_row(on_sqlite().await).await;
}

async fn pages_follow_each_other<L: Ledger, P: Sync>(site: Site<L, P>) {
    let ids = ["agent-10/b", "agent-10/a", "agent-9/a", "Agent-9/a", "agent_9/a"];
    let keys = ids.map(|id| id.split_once('/').unwrap()).map(|(client, id)| CredentialKey::parse(client, id).unwrap());
    for key in &keys {
        site.life.issue(key, ()).await.unwrap();
    }
    let (mut sorted, mut found, mut after) = (keys.to_vec(), Vec::new(), None);
    sorted.sort();
    loop {
        let page = site.ledger.page(after.as_ref(), 2).await.unwrap();
        after = page.last().map(|row| row.key.clone());
        found.extend(page.into_iter().map(|row| row.key));
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, sorted, "in the order of the keys, whatever the database's language is");
}

#[tokio::test]
async fn pages_follow_each_other_on_postgresql() {
    let site = on_postgres().await;
    // The cluster of the tests has no language of its own.
    let columns = "SELECT bool_and(collation_name = 'C') FROM information_schema.columns \
                   WHERE table_name = 'agentidp_credentials' AND column_name IN ('client_id', 'credential_id')";
    assert!(sqlx::query_scalar::<_, bool>(columns).fetch_one(&site.pool).await.unwrap());
    pages_follow_each_other(site).await;
}

#[tokio::test]
async fn pages_follow_each_other_on_sqlite() {
    pages_follow_each_other(on_sqlite().await).await;
}

/// A pin writes the row as it was read before; a first use that was noted since must not be lost by it.
/// Another one beside the damaged record of the conformance suite.
async fn an_unreadable_revision_damages_its_row_and_no_other<L: Ledger, P: Sync>(
    site: Site<L, P>,
    damage: impl AsyncFnOnce(&P, &CredentialKey),
) {
    let (damaged, sound) = (&site.key, CredentialKey::parse(site.key.client_id().as_str(), "sound").unwrap());
    site.life.issue(damaged, ()).await.unwrap();
    site.life.issue(&sound, ()).await.unwrap();
    damage(&site.pool, damaged).await;
    let mut tx = site.ledger.begin().await.unwrap();
    let entry = site.ledger.lock(&mut tx, damaged).await.unwrap();
    drop(tx);
    assert!(matches!(entry.state, State::Active(row) if row.secrets.is_none() && row.revision.is_none()));
    let page = site.ledger.page(None, 10).await.unwrap();
    assert_eq!(page.iter().filter(|row| row.secrets.is_none()).map(|row| &row.key).collect::<Vec<_>>(), [damaged]);
    let repaired = site.life.rotate(damaged, Duration::ZERO, ()).await.unwrap();
    let decision = site.life.authenticate(damaged.client_id(), &repaired.secret).await.unwrap();
    assert!(matches!(decision, Decision::Proved(_)), "{decision:?}");
}

const DAMAGED_REVISION: &str = "UPDATE agentidp_credentials SET revision = 'x' WHERE credential_id = $1";

#[tokio::test]
async fn an_unreadable_revision_damages_its_row_and_no_other_on_postgresql() {
    an_unreadable_revision_damages_its_row_and_no_other(on_postgres().await, async |pool, key| {
        sqlx::query(DAMAGED_REVISION).bind(key.credential_id().as_str()).execute(pool).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_unreadable_revision_damages_its_row_and_no_other_on_sqlite() {
    an_unreadable_revision_damages_its_row_and_no_other(on_sqlite().await, async |pool, key| {
        sqlx::query(DAMAGED_REVISION).bind(key.credential_id().as_str()).execute(pool).await.unwrap();
    })
    .await;
}

async fn a_first_use_stays_noted<L: Ledger, P: Sync>(site: Site<L, P>) {
    let (ledger, key) = (&site.ledger, &site.key);
    let secrets = StoredSecret::parse("{memory}x").unwrap().into();
    let row = Row::new(key.clone(), Some(secrets), Some(Revision::from_bytes([7; 16]))).unused(true);
    in_tx(ledger, async |tx| ledger.insert(tx, &row).await).await;
    assert!(ledger.used(&row).await.unwrap());
    in_tx(ledger, async |tx| ledger.replace(tx, &row).await).await;
    let mut tx = ledger.begin().await.unwrap();
    let state = ledger.lock(&mut tx, key).await.unwrap().state;
    assert_eq!(state.active(), Some(&row.clone().unused(false)));
    drop(tx);
    let other = Row::new(key.clone(), row.secrets.clone(), Some(Revision::from_bytes([8; 16])));
    assert!(!ledger.used(&other).await.unwrap(), "that secret is not the row's");
}

#[tokio::test]
async fn a_first_use_stays_noted_on_postgresql() {
    a_first_use_stays_noted(on_postgres().await).await;
}

#[tokio::test]
async fn a_first_use_stays_noted_on_sqlite() {
    a_first_use_stays_noted(on_sqlite().await).await;
}

#[tokio::test]
async fn a_credential_expires_by_the_clock_of_postgresql() {
    let url = postgres().fresh_database().await;
    set_database_clock(&url, "now() + interval '10 years'").await;
    let ledger = PgLedger::new(PgPool::connect(&url).await.unwrap());
    ledger.migrate().await.unwrap();
    let life = over(ledger.clone(), SecretStore::builder(Memory::new()).build().unwrap());
    let key = CredentialKey::parse("agent-7", "credential-1").unwrap();
    let shown = life.issue(&key, ()).await.unwrap();
    let mut tx = ledger.begin().await.unwrap();
    let now = ledger.now(&mut tx).await.unwrap();
    drop(tx);
    for (at, works) in [(now + Duration::from_secs(3600), true), (now - Duration::from_secs(3600), false)] {
        in_tx(&ledger, async |tx| ledger.set_expiry(tx, &key, Some(at)).await).await;
        let decision = life.authenticate(key.client_id(), &shown.secret).await.unwrap();
        assert_eq!(matches!(decision, Decision::Proved(_)), works);
    }
}

#[tokio::test]
async fn a_credential_expires_by_the_clock_that_a_sqlite_ledger_was_given() {
    let site = on_sqlite().await;
    let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(3600)));
    let ledger = SqliteLedger::new(site.pool.clone()).with_clock(Arc::<ManualClock>::clone(&clock));
    let shown = site.life.issue(&site.key, ()).await.unwrap();
    let life = over(ledger.clone(), site.life.store().clone());
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(3660);
    in_tx(&ledger, async |tx| ledger.set_expiry(tx, &site.key, Some(end)).await).await;
    for works in [true, false] {
        let decision = life.authenticate(site.key.client_id(), &shown.secret).await.unwrap();
        assert_eq!(matches!(decision, Decision::Proved(_)), works);
        clock.advance(Duration::from_secs(60));
    }
}

/// As the README says: a row of an older system, bare digest and no revision.
#[tokio::test]
async fn an_imported_row_verifies_and_rotates() {
    let site = on_postgres().await;
    let bcrypt = || Bcrypt::builder().cost(10).build().unwrap();
    let issued = SecretStore::builder(bcrypt()).build().unwrap().issue(&site.key).await.unwrap();
    let (secret, bare) = (issued.secret, issued.stored.to_text().replace("{bcrypt}", ""));
    assert!(bare.starts_with("$2b$"));
    sqlx::query("INSERT INTO agentidp_clients (client_id) VALUES ('agent-7')").execute(&site.pool).await.unwrap();
    let insert =
        "INSERT INTO agentidp_credentials (client_id, credential_id, record) VALUES ('agent-7', 'credential-1', $1)";
    sqlx::query(insert).bind(&bare).execute(&site.pool).await.unwrap();

    let store = SecretStore::builder(Memory::new()).accepts(bcrypt()).build().unwrap();
    let life = over(site.ledger.clone(), store).with_upgrades(false);
    let works = async |secret: &ClientSecret| {
        matches!(life.authenticate(site.key.client_id(), secret).await.unwrap(), Decision::Proved(_))
    };
    assert!(works(&secret).await);
    let shown = life.rotate(&site.key, Duration::from_secs(60), ()).await.unwrap();
    assert!(works(&secret).await && works(&shown.secret).await);
}

#[tokio::test]
async fn no_error_shows_a_record() {
    let site = on_postgres().await;
    let insert = "INSERT INTO agentidp_credentials (client_id, credential_id, state, record) \
                  VALUES ('agent-7', 'c', 'canary', 'canary')";
    let error = agentidp_secrets_sqlx::Error::from(sqlx::query(insert).execute(&site.pool).await.unwrap_err());
    assert!(format!("{:?}", error.as_database_error()).contains("canary"), "the driver shows the row");
    assert!(!format!("{error} {error:?} {error:#?}").contains("canary"), "{error:?}");
    assert_eq!(error.as_database_error().and_then(|error| error.code()).as_deref(), Some("23514"));
}
