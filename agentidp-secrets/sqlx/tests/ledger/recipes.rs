//! Tables of other software are taken over where they lie: every recipe of the guide over SQLite.

use agentidp_secrets::backends::legacy::{LegacyKdf, LegacySha};
use agentidp_secrets::backends::{Argon2id, Bcrypt};
use agentidp_secrets::lifecycle::{Decision, Lifecycle};
use agentidp_secrets::{ClientSecret, CredentialKey, SecretStore};
use sqlx::SqlitePool;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;

use crate::recipe_rows;
use crate::site::on_sqlite;

/// As an adopter copies a row: the text of its column, bare and without a revision.
async fn insert(pool: &SqlitePool, key: &CredentialKey, record: &str) {
    let (client, credential) = (key.client_id().as_str(), key.credential_id().as_str());
    sqlx::query("INSERT INTO agentidp_clients (client_id) VALUES ($1)").bind(client).execute(pool).await.unwrap();
    let insert = "INSERT INTO agentidp_credentials (client_id, credential_id, record) VALUES ($1, $2, $3)";
    sqlx::query(insert).bind(client).bind(credential).bind(record).execute(pool).await.unwrap();
}

async fn record(pool: &SqlitePool, key: &CredentialKey) -> String {
    let select = sqlx::query_scalar("SELECT record FROM agentidp_credentials WHERE client_id = $1");
    select.bind(key.client_id().as_str()).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn every_recipe_is_taken_over_on_sqlite() {
    let site = on_sqlite().await;
    let store = SecretStore::builder(Argon2id::builder().build().unwrap())
        .accepts(Bcrypt::builder().build().unwrap())
        .accepts(LegacyKdf::builder().build().unwrap())
        .accepts(LegacySha::builder().bare_hex().bare_base64().build().unwrap())
        .build()
        .unwrap();
    let (spawned, mut tasks) = unbounded_channel::<JoinHandle<()>>();
    let life = Lifecycle::new(store, site.ledger.clone(), move |task| drop(spawned.send(tokio::spawn(task))));
    let recipes = [
        ("hydra", recipe_rows::ory_hydra()),
        ("keycloak", recipe_rows::keycloak()),
        ("django-oauth-toolkit", recipe_rows::django_oauth_toolkit()),
        ("identity-server", recipe_rows::identity_server_and_openiddict()),
        ("doorkeeper", recipe_rows::doorkeeper()),
        ("spring", recipe_rows::spring()),
    ];
    for (recipe, rows) in recipes {
        for (number, (row, secret)) in rows.iter().enumerate() {
            let key = CredentialKey::parse(&format!("{recipe}-{number}"), "credential").unwrap();
            insert(&site.pool, &key, row).await;
            let logs_in = async |secret: &str| {
                let decision = life.authenticate(key.client_id(), &ClientSecret::from(secret)).await.unwrap();
                matches!(decision, Decision::Proved(_))
            };
            assert!(!logs_in("wrong").await, "{recipe}: {row}");
            assert_eq!(record(&site.pool, &key).await, *row, "a wrong secret changes nothing");
            assert!(logs_in(secret).await, "{recipe}: {row}");
            while let Ok(task) = tasks.try_recv() {
                task.await.unwrap();
            }
            let today = record(&site.pool, &key).await;
            assert!(today.starts_with("{argon2}$argon2id$v=19$m=19456,t=2,p=1$"), "{recipe}: {row}");
            assert!(logs_in(secret).await && !logs_in("wrong").await, "{recipe}: {row}");
        }
    }
}
