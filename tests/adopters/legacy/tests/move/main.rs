//! The move, over TLS, on a real PostgreSQL and a real OpenBao.

#[path = "../../../../support/certificates.rs"]
#[expect(dead_code, reason = "the repository's tests use more of it")]
mod certificates;
mod support;

use std::time::Duration;

use adopter_legacy::{Idp, Settings, open, take_over};
use agentidp_secrets::lifecycle::Decision;
use agentidp_secrets::{ClientId, ClientSecret, CredentialKey, StoredSecret};
use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;

use self::certificates::Authority;
use self::support::bao::tls::TlsListener;
use self::support::bao::{Bao, Mount};
use self::support::postgres::Postgres;
use self::support::process::until;

const CLIENT: &str = "https://idp.example/client";

/// As Django's `make_password` writes it, in its default form.
const HASH: &str = "pbkdf2_sha256$600000$zGkhZ0vNqhVZ9bUdQ3mJ1C$T0VFLm8Zp2W4C7K2lyaPtp4gedI0eRp2QOAvEPQ00IE=";
const SECRET: &str = "bqWCbFmkmDZKmQXPw3Fr0CcbE4yPqd8IL7Cg2a9YQbXyGzHn5tRkVvJ1sWuT6LoA";

struct Site {
    _postgres: Postgres,
    bao: Bao,
    mount: Mount,
    pool: PgPool,
    idp: Idp,
}

/// Everything is settings: what is here in JSON is in a file of the provider's.
async fn site() -> Site {
    let ca = Authority::new("acme");
    let pair = ca.server(&["vault.acme.example"]);
    let listener = TlsListener { certificate: &pair.certificate, key: &pair.key, client_ca: None };
    let (bao, addresses) = Bao::start_with_tls(&[listener]).await;
    let mount = bao.fresh_mount(2).await;
    let settings: Settings = serde_json::from_value(json!({
        "key_prefix": "acme_",
        "vault": {
            "address": addresses[0],
            "tls_server_name": "vault.acme.example",
            "ca_cert_pem": ca.pem,
            "auth": { "token": mount.policy_token },
            "mount": mount.name,
            // Where the other program has put its keys, and beside what.
            "prefix": "services",
            "layout": "{client}/keys/{credential}",
            "member": "api_key",
            "keep_other_members": true,
        },
    }))
    .unwrap();
    // Its policy names the folder.
    let rules = [("data", r#""create", "read", "update""#), ("metadata", r#""delete""#)];
    let rules = rules.map(|(branch, rights)| {
        format!("path \"{}/{branch}/services/*\" {{ capabilities = [{rights}] }}\n", mount.name)
    });
    bao.write_policy(&mount.name, &rules.concat()).await;
    let postgres = Postgres::start_own().await;
    let pool = PgPool::connect(&postgres.fresh_database().await).await.unwrap();
    let idp = open(settings.store().unwrap(), pool.clone()).await.unwrap();
    Site { _postgres: postgres, bao, mount, pool, idp }
}

impl Site {
    async fn works(&self, client: &str, secret: &str) -> bool {
        let (client, secret) = (ClientId::parse(client).unwrap(), ClientSecret::from(secret));
        let Decision::Proved(proof) = self.idp.authenticate(&client, &secret).await.unwrap() else { return false };
        matches!(self.idp.still_counts(proof, &secret).await.unwrap(), Decision::Proved(_))
    }

    async fn record(&self, key: &CredentialKey) -> String {
        let column = "SELECT record FROM agentidp_credentials WHERE client_id = $1 AND credential_id = $2";
        let column = sqlx::query_scalar(column).bind(key.client_id().as_str()).bind(key.credential_id().as_str());
        column.fetch_one(&self.pool).await.unwrap()
    }
}

#[tokio::test]
async fn clients_of_django_oauth_toolkit_move_to_vault_when_they_log_in() {
    let site = site().await;
    let insert = "INSERT INTO oauth2_provider_application (client_id, client_secret) VALUES ($1, $2)";
    sqlx::query(insert).bind(CLIENT).bind(HASH).execute(&site.pool).await.unwrap();
    for _ in 0..2 {
        take_over(&site.idp, &site.pool).await.unwrap();
    }
    let key = CredentialKey::parse(CLIENT, "1").unwrap();
    assert_eq!(site.record(&key).await, format!("{{legacy-kdf}}{HASH}"));
    assert!(!site.works(CLIENT, "a guess").await && site.works(CLIENT, SECRET).await);

    // The upgrade runs beside the login.
    until("the record to be moved", async || site.record(&key).await.starts_with("{vault-kv2}")).await;
    assert!(site.works(CLIENT, SECRET).await && !site.works(CLIENT, "a guess").await);
    let rotated = site.idp.rotate(&key, Duration::ZERO, ()).await.unwrap().secret;
    assert!(!site.works(CLIENT, SECRET).await && site.works(CLIENT, rotated.expose_secret()).await);
}

#[tokio::test]
async fn what_another_program_keeps_in_vault_is_taken_over_and_rotated_beside_its_other_members() {
    let site = site().await;
    let path = format!("{}/data/services/billing/keys/7", site.mount.name);
    let entry = json!({ "data": { "api_key": "a key from before", "owner": "billing@acme.example" } });
    site.bao.root(Method::POST, &path, entry).await;
    let (key, record) = (CredentialKey::parse("billing", "7").unwrap(), format!("{{vault-kv2}}{path}"));
    site.idp.take_over(&key, &StoredSecret::parse(&record).unwrap(), ()).await.unwrap();
    assert!(site.works("billing", "a key from before").await && !site.works("billing", "a guess").await);

    let rotated = site.idp.rotate(&key, Duration::from_secs(3600), ()).await.unwrap().secret;
    for secret in ["a key from before", rotated.expose_secret()] {
        assert!(site.works("billing", secret).await, "within the overlap");
    }
    let kept = site.bao.read_root(&path).await.unwrap().data;
    assert_eq!(kept, json!({ "api_key": rotated.expose_secret(), "owner": "billing@acme.example" }));
}

#[tokio::test]
async fn new_keys_have_the_prefix_and_a_checksum() {
    let site = site().await;
    let key = CredentialKey::parse("https://idp.example/other?tenant=7", "urn:key:1").unwrap();
    let issued = site.idp.issue(&key, ()).await.unwrap().secret;
    let text = issued.expose_secret();
    assert!(text.starts_with("acme_") && text.len() == "acme_".len() + 32 + 6, "{} characters", text.len());
    assert!(site.works(key.client_id().as_str(), text).await);
    site.idp.end(&key, ()).await.unwrap();
    assert!(!site.works(key.client_id().as_str(), text).await);
}

#[test]
fn the_graph_has_both_providers_and_none_of_them_is_chosen() {
    drop((rustls::crypto::ring::default_provider(), rustls::crypto::aws_lc_rs::default_provider()));
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}
