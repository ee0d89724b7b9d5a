//! Tables of other software are taken over: a client logs in with the secret that it has, and its row gets today's form.
//!
//! One test a recipe of the guide's page on digests of other software. The ledger over SQLite has the same test.

use agentidp_secrets::backends::legacy::{LegacyKdf, LegacySha, LegacyShaBuilder};
use agentidp_secrets::backends::{Argon2id, Bcrypt};
use agentidp_secrets::lifecycle::{Decision, Failure, Lifecycle, MemoryLedger, Row, State};
use agentidp_secrets::{BackendId, ClientSecret, CredentialKey, ErrorKind, SecretBackend, SecretStore, StoredSecret};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use crate::recipe_rows::{self, Rows};

#[tokio::test]
async fn ory_hydra() {
    taken_over(&recipe_rows::ory_hydra(), LegacySha::builder()).await;
}

#[tokio::test]
async fn keycloak() {
    taken_over(&recipe_rows::keycloak(), LegacySha::builder()).await;
}

#[tokio::test]
async fn django_oauth_toolkit() {
    taken_over(&recipe_rows::django_oauth_toolkit(), LegacySha::builder()).await;
}

#[tokio::test]
async fn identity_server_and_openiddict() {
    taken_over(&recipe_rows::identity_server_and_openiddict(), LegacySha::builder().bare_base64()).await;
}

#[tokio::test]
async fn doorkeeper() {
    taken_over(&recipe_rows::doorkeeper(), LegacySha::builder().bare_hex()).await;
}

/// Doorkeeper keeps secrets in plain text unless `hash_application_secrets` is set: 43 characters of base64url, as a digest may be.
#[tokio::test]
async fn a_secret_in_plain_text_is_a_damaged_row_and_no_wrong_secret() {
    let (ledger, plain) = (MemoryLedger::new(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    let key = CredentialKey::parse("client", "credential").unwrap();
    ledger.put(Row::new(key.clone(), Some(StoredSecret::parse(plain).unwrap().into()), None));
    let life = Lifecycle::new(store(LegacySha::builder().bare_hex()), ledger, |task| drop(tokio::spawn(task)));
    for secret in [plain, "wrong"] {
        let outcome = life.authenticate(key.client_id(), &ClientSecret::from(secret)).await;
        let is_malformed = |error: &agentidp_secrets::Error| error.kind() == ErrorKind::Malformed;
        assert!(matches!(&outcome, Err(Failure::Backend(error)) if is_malformed(error)), "{outcome:?}");
    }
    // What the setting means: whoever asks for the form has no plain text in the table.
    assert!(LegacySha::builder().bare_base64url().build().unwrap().recognises(plain));
}

#[tokio::test]
async fn spring() {
    taken_over(&recipe_rows::spring(), LegacySha::builder()).await;
}

/// Each client logs in twice with its secret, once before and once after its row got today's form, and a wrong secret never
/// does.
async fn taken_over(rows: &Rows, sha: LegacyShaBuilder) {
    let ledger = MemoryLedger::new();
    let key = |number: usize| CredentialKey::parse(&format!("client-{number}"), "credential").unwrap();
    for (number, (row, _)) in rows.iter().enumerate() {
        ledger.put(Row::new(key(number), Some(StoredSecret::parse(row).unwrap().into()), None));
    }
    let (spawned, mut tasks) = unbounded_channel::<JoinHandle<()>>();
    let life = Lifecycle::new(store(sha), ledger, move |task| drop(spawned.send(tokio::spawn(task))));
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
fn store(sha: LegacyShaBuilder) -> SecretStore {
    SecretStore::builder(Argon2id::builder().build().unwrap())
        .accepts(Bcrypt::builder().build().unwrap())
        .accepts(LegacyKdf::builder().build().unwrap())
        .accepts(sha.build().unwrap())
        .build()
        .unwrap()
}
