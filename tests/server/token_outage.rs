//! `POST /token` when a credential cannot be decided: broken is not wrong, and hides no good credential.

use agentidp_secrets::backends::Bcrypt;
use agentidp_secrets::testkit::{Fault, FaultLayer};
use agentidp_secrets::{CredentialKey, ErrorKind, Operation, SecretStore};
use agentidp_server::domain::{Credential, CredentialStatus, SecretColumns};
use uuid::Uuid;

use super::site::Site;
use super::support;
use crate::repo::sql_at;

#[tokio::test]
async fn a_corrupt_row_neither_hides_a_good_one_nor_becomes_a_wrong_secret() {
    let site = Site::bcrypt().await;
    for (name, digest) in [("a", Some("$2b$10$not.a.digest")), ("b", Some("plain")), ("c", Some("")), ("d", None)] {
        let agent = site.agent(&format!("{name}@example.com")).await;
        let (_, secret) = site.credential(agent).await;
        insert(&site, agent, SecretColumns { secret_hash: digest.map(str::to_owned), ..SecretColumns::default() })
            .await;
        site.granted(agent, &secret).await;
        let reply = site.grant(agent, "wrong").await;
        assert_eq!(reply.failure(), (500, "INTERNAL_SERVER_ERROR".to_owned()), "{digest:?}");
        assert_eq!(reply.refusal().1, "server_error");
        assert!(!reply.text.contains("hash") && !reply.text.contains("$2b$"), "{reply:?}");
    }
}

#[tokio::test]
async fn a_vault_backed_row_without_vault_is_an_outage_that_hides_no_match() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    let path = format!("secret/data/agentidp/agents/{agent}/credentials/{}", Uuid::new_v4());
    insert(&site, agent, SecretColumns { vault_path: Some(path), vault_version: Some(1), ..SecretColumns::default() })
        .await;
    site.granted(agent, &secret).await;
    let reply = site.grant(agent, "wrong").await;
    assert_eq!(reply.failure(), (500, "VAULT_READ_ERROR".to_owned()));
    assert_eq!(reply.refusal().1, "server_error");
    assert!(reply.json()["message"].is_string() && reply.json()["error_description"].is_string());
    assert!(!reply.text.contains("secret/data"), "{reply:?}");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn an_outage_of_vault_is_no_wrong_secret_and_stops_no_bcrypt_backed_credential() {
    let mount = support::bao().fresh_mount(2).await;
    let faults = FaultLayer::new();
    let site = Site::vault(&mount, &faults).await;
    let agent = site.agent("a@example.com").await;
    let (credential, vaulted) = site.credential(agent).await;
    let digested = bcrypt_backed(&site, agent).await;
    let path = site.row(agent, credential).await.secret.vault_path.unwrap();
    site.granted(agent, &vaulted).await;
    site.granted(agent, &digested).await;
    assert_eq!(site.grant(agent, "wrong").await.refusal(), (401, "invalid_client".to_owned()));

    faults.always(Operation::Verify, Fault::Fail(ErrorKind::Unavailable));
    for secret in [vaulted.as_str(), "wrong"] {
        let reply = site.grant(agent, secret).await;
        assert_eq!(reply.failure(), (500, "VAULT_READ_ERROR".to_owned()));
        assert_eq!(reply.refusal().1, "server_error");
        assert!(!reply.text.contains(&mount.name), "{reply:?}");
    }
    site.granted(agent, &digested).await;
    assert_eq!(site.grant(Uuid::new_v4(), "wrong").await.refusal(), (401, "invalid_client".to_owned()));
    faults.always(Operation::Verify, Fault::Fail(ErrorKind::Throttled));
    let busy = site.grant(agent, &vaulted).await;
    assert_eq!((busy.failure(), busy.header("retry-after")), ((503, "SERVICE_UNAVAILABLE".to_owned()), Some("1")));
    faults.heal();
    site.granted(agent, &vaulted).await;

    support::bao().soft_delete(&path).await;
    assert_eq!(site.grant(agent, &vaulted).await.failure(), (500, "VAULT_READ_ERROR".to_owned()));
    site.granted(agent, &digested).await;
}

#[tokio::test]
async fn a_row_that_points_to_another_mount_is_a_failed_read() {
    let mount = support::bao().fresh_mount(2).await;
    let site = Site::vault(&mount, &FaultLayer::new()).await;
    let agent = site.agent("a@example.com").await;
    let path = format!("elsewhere/data/agentidp/agents/{agent}/credentials/{}", Uuid::new_v4());
    insert(&site, agent, SecretColumns { vault_path: Some(path), vault_version: Some(1), ..SecretColumns::default() })
        .await;
    let reply = site.grant(agent, "any").await;
    assert_eq!(reply.failure(), (500, "VAULT_READ_ERROR".to_owned()));
    assert!(!reply.text.contains("elsewhere"), "{reply:?}");
}

/// A credential as bcrypt mode made it before Vault was configured.
async fn bcrypt_backed(site: &Site, agent: Uuid) -> String {
    let store = SecretStore::builder(Bcrypt::builder().minimum_cost_for_tests().build().unwrap()).build().unwrap();
    let issued = store.issue(&CredentialKey::parse(&agent.to_string(), "any").unwrap()).await.unwrap();
    insert(site, agent, SecretColumns::new(&issued.stored, issued.selector).unwrap()).await;
    issued.secret.expose_secret().to_owned()
}

/// Puts a credential into the database that the server would not have written.
async fn insert(site: &Site, agent: Uuid, secret: SecretColumns) {
    let now = site.app.now();
    let whole = Credential {
        credential_id: Uuid::new_v4(),
        client_id: agent,
        status: CredentialStatus::Active,
        secret: secret.clone().written_by(Uuid::new_v4()),
        created_at: now,
        expires_at: None,
        revoked_at: None,
    };
    if secret.to_secrets().is_ok() {
        return site.put(&whole).await;
    }
    let path = SecretColumns { vault_path: Some("secret/data/any".to_owned()), ..SecretColumns::default() };
    site.put(&Credential { secret: path.written_by(Uuid::new_v4()), ..whole.clone() }).await;
    let text = |column: Option<String>| column.map_or("NULL".to_owned(), |text| format!("'{text}'"));
    let (hash, path) = (text(secret.secret_hash), text(secret.vault_path));
    let version = secret.vault_version.map_or("NULL".to_owned(), |version| version.to_string());
    let sql = format!(
        "UPDATE credentials SET secret_hash = {hash}, vault_path = {path}, vault_version = {version} \
         WHERE credential_id = '{}'",
        whole.credential_id
    );
    sql_at(&site.url, &sql).await.unwrap();
}
