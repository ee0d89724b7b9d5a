//! Tables of other software are taken over: a client logs in with the secret that it has, and its row gets today's form.
//!
//! One test a recipe of the guide's page on digests of other software. The ledger over SQLite has the same test.

use agentidp_secrets::backends::legacy::{LegacyKdf, LegacySha};
use agentidp_secrets::backends::{Argon2id, Bcrypt, DigestLimits};
use agentidp_secrets::lifecycle::{Decision, Lifecycle, MemoryLedger, Row, State};
use agentidp_secrets::{BackendId, ClientSecret, CredentialKey, SecretStore, StoredSecret};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use crate::recipe_rows::{self, Rows};

#[tokio::test]
async fn ory_hydra() {
    taken_over(&recipe_rows::ory_hydra()).await;
}

#[tokio::test]
async fn keycloak() {
    taken_over(&recipe_rows::keycloak()).await;
}

#[tokio::test]
async fn django_oauth_toolkit() {
    taken_over(&recipe_rows::django_oauth_toolkit()).await;
}

#[tokio::test]
async fn identity_server_and_openiddict() {
    taken_over(&recipe_rows::identity_server_and_openiddict()).await;
}

#[tokio::test]
async fn doorkeeper() {
    taken_over(&recipe_rows::doorkeeper()).await;
}

#[tokio::test]
async fn spring() {
    taken_over(&recipe_rows::spring()).await;
}

/// Each client logs in twice with its secret, once before and once after its row got today's form, and a wrong secret never
/// does.
async fn taken_over(rows: &Rows) {
    let ledger = MemoryLedger::new();
    let key = |number: usize| CredentialKey::parse(&format!("client-{number}"), "credential").unwrap();
    for (number, (row, _)) in rows.iter().enumerate() {
        ledger.put(Row::new(key(number), Some(StoredSecret::parse(row).unwrap().into()), None));
    }
    let (spawned, mut tasks) = unbounded_channel::<JoinHandle<()>>();
    let life = Lifecycle::new(store(), ledger, move |task| drop(spawned.send(tokio::spawn(task))));
    for (number, (row, secret)) in rows.iter().enumerate() {
        let key = key(number);
        let logs_in = async |secret: &str| {
            let decision = life.authenticate(key.client_id(), &ClientSecret::from(secret)).await.unwrap();
            matches!(decision, Decision::Proved(_))
        };
        assert!(!logs_in("wrong").await, "{row}");
        assert!(logs_in(secret).await, "{row}");
        ended(&mut tasks).await;
        let State::Active(after) = life.ledger().entry(&key).state else { panic!("{row} has no row") };
        let today = after.secrets.unwrap().current;
        assert_eq!(today.backend(), &BackendId::ARGON2, "{row}");
        assert!(today.payload().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{row}");
        assert!(logs_in(secret).await && !logs_in("wrong").await, "{row}");
    }
}

async fn ended(tasks: &mut UnboundedReceiver<JoinHandle<()>>) {
    while let Ok(task) = tasks.try_recv() {
        task.await.unwrap();
    }
}

/// As the guide has it: today's form first, and what the table holds beside it.
fn store() -> SecretStore {
    SecretStore::builder(Argon2id::builder().build().unwrap())
        .accepts(Bcrypt::builder().build().unwrap())
        .accepts(LegacyKdf::builder().build().unwrap())
        .accepts(LegacySha::new(DigestLimits::default()).unwrap())
        .build()
        .unwrap()
}
