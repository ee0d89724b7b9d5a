//! `POST /token` for a credential that lives in Vault.

use agentidp_secrets::testkit::FaultLayer;
use agentidp_server::domain::{Credential, SecretColumns};
use uuid::Uuid;

use crate::site::Site;
use crate::support::{self, bao::Mount};

async fn vaulted() -> (Site, Mount) {
    let mount = support::bao().fresh_mount(2).await;
    (Site::vault(&mount, &FaultLayer::new()).await, mount)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_whole_secret_gets_a_token() {
    let (site, _mount) = vaulted().await;
    let agent = site.agent("a@agents.example").await;
    let (_, secret) = site.credential(agent).await;
    for (what, near_miss) in [
        ("one byte more", format!("{secret}0")),
        ("a NUL more", format!("{secret}\0")),
        ("a line feed more", format!("{secret}\n")),
        ("one byte less", secret[..71].to_owned()),
        ("the first byte less", secret[1..].to_owned()),
        ("another case", secret.to_uppercase()),
        ("twice", secret.repeat(2)),
        ("the path", site.rows(agent).await[0].secret.vault_path.clone().unwrap()),
    ] {
        let reply = site.grant(agent, &near_miss).await;
        assert_eq!(reply.refusal(), (401, "invalid_client".to_owned()), "{what}");
    }
    site.granted(agent, &secret).await;
}

/// The documented system kept no versions.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_a_version_reads_the_latest_until_its_next_rotation() {
    let (site, mount) = vaulted().await;
    let agent = site.agent("a@agents.example").await;
    let (credential, first) = site.credential(agent).await;
    unpin(&site, agent, credential).await;
    site.granted(agent, &first).await;
    let path = format!("{}/data/agentidp/agents/{agent}/credentials/{credential}", mount.name);
    support::bao().write_root(&path, "sk_live_by-the-documented-system").await;
    assert_eq!(site.grant(agent, &first).await.status, 401);
    site.granted(agent, "sk_live_by-the-documented-system").await;

    let rotated = site.rotate(agent, credential).await.secret();
    assert_eq!(site.row(agent, credential).await.secret.vault_version, Some(3));
    support::bao().write_root(&path, "sk_live_by-hand").await;
    site.granted(agent, &rotated).await;
    assert_eq!(site.grant(agent, "sk_live_by-hand").await.status, 401, "from now on the version counts");
}

/// Takes the version out of a row.
async fn unpin(site: &Site, agent: Uuid, credential: Uuid) {
    let before = site.row(agent, credential).await;
    let secret = SecretColumns { vault_version: None, ..before.secret.clone() };
    let after = Credential { secret: secret.written_by(Uuid::new_v4()), ..before.clone() };
    site.put(&after).await;
}
