//! Ids of every kind on a real OpenBao, with the token of the least-privilege policy.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::backends::Memory;
use agentidp_secrets::lifecycle::compare::Mode;
use agentidp_secrets::lifecycle::{Decision, Lifecycle, MemoryLedger};
use agentidp_secrets::vault::{VaultKv2, VaultPath};
use agentidp_secrets::{CredentialKey, ErrorKind, Held, SecretBackend, SecretStore};
use futures_util::{StreamExt as _, stream};

use crate::support::bao::{Mount, least_privilege};
use crate::support::{self, Bao};

/// Ids that a client of OAuth may have, that a path could be led astray by, and the longest ones.
fn ids() -> Vec<String> {
    let mut ids: Vec<String> = [
        "agent-7",
        "https://idp.example/clients/7?a=b#c",
        "https~3a~2f~2fidp.example~2fclients~2f7",
        "https%3A%2F%2Fidp.example",
        "user@example.com",
        "a name with blanks ",
        "\"quoted\" and 'quoted'",
        "🔑 Zoë",
        ".",
        "..",
        "../../sys/seal",
        "..%2f..%2fsys%2fseal",
        "a/b",
        "a//b",
        "*",
        "+",
        "~",
        "{{identity.entity.id}}",
    ]
    .map(str::to_owned)
    .to_vec();
    ids.extend(["a".repeat(255), "/".repeat(255), "🔑".repeat(63)]);
    ids
}

async fn on(bao: &Bao) -> (Mount, VaultKv2) {
    let mount = bao.fresh_mount(2).await;
    let vault = VaultKv2::builder(bao.address(), mount.policy_token.as_str()).mount(&mount.name).build().unwrap();
    bao.write_policy(&mount.name, &(least_privilege(&mount.name) + &vault.listing_policy())).await;
    (mount, vault)
}

/// Each id lives a whole life, as a client's and as a credential's, and a comparison finds every place again.
async fn lives_on(bao: &Bao) {
    let (_mount, vault) = on(bao).await;
    let vault = Arc::new(vault);
    let store = SecretStore::builder(Arc::clone(&vault)).build().unwrap();
    let life = Lifecycle::new(store, MemoryLedger::new(), |task| drop(tokio::spawn(task)));
    let keys: Vec<_> = ids().iter().rev().zip(&ids()).map(|(a, b)| CredentialKey::parse(a, b).unwrap()).collect();
    for key in &keys {
        let first = life.issue(key, ()).await.unwrap();
        let second = life.rotate(key, Duration::from_secs(3600), ()).await.unwrap();
        for secret in [&first.secret, &second.secret] {
            let decision = life.authenticate(key.client_id(), secret).await.unwrap();
            assert!(matches!(&decision, Decision::Proved(proof) if proof.key() == key), "{key}: {decision:?}");
        }
        let record = &second.row.secrets.as_ref().unwrap().current;
        assert!(record.to_text().len() <= 1900 && record.to_text().is_ascii(), "{key}");
        assert_eq!(VaultPath::parse(record.payload()).unwrap().key(), key);
    }

    let compared = life.compare(vault.as_ref(), Mode::DryRun, &mut |difference| panic!("{difference}")).await.unwrap();
    assert!(compared.unlisted.is_none() && compared.found.total() == 0);
    let clients = vault.clients(None, 100).await.unwrap().names;
    assert_eq!(clients.len(), keys.len(), "{clients:?}");

    for key in &keys {
        life.end(key, ()).await.unwrap();
        assert!(matches!(vault.inspect(key, None).await.unwrap(), Held::Nothing), "{key}");
    }
}

#[tokio::test]
async fn ids_of_every_kind_live_in_openbao() {
    lives_on(support::bao()).await;
}

/// Its storage has a bound on the length of a key, which memory has not.
#[tokio::test]
async fn ids_of_every_kind_live_in_openbao_on_raft() {
    lives_on(&Bao::start_own().await).await;
}

/// Their names are more than the 1 MiB that any other answer may have.
#[tokio::test]
async fn many_of_the_longest_ids_are_listed() {
    let bao = support::bao();
    let (mount, vault) = on(bao).await;
    let (bao, mount) = (&bao, &mount.name);
    let written = stream::iter(0..1500).map(async |number| {
        let client = format!("{}{number:04}", "/".repeat(251));
        let path = VaultPath::for_key(mount, "agentidp", &CredentialKey::parse(&client, "c").unwrap()).unwrap();
        bao.write_root(&path.to_string(), "s").await
    });
    written.buffer_unordered(16).collect::<Vec<_>>().await;
    let listed = vault.clients(None, 2000).await.unwrap();
    assert!(listed.names.len() == 1500 && listed.next.is_none() && listed.names.concat().len() > 1024 * 1088);
}

/// What lies in Vault under a name that no id has is somebody else's, whichever id it would be without the escape.
#[tokio::test]
async fn a_name_that_is_not_escaped_is_foreign() {
    let bao = support::bao();
    let (mount, vault) = on(bao).await;
    for name in ["user@example.com", "a~41"] {
        bao.write_root(&format!("{}/data/agentidp/agents/{name}/credentials/c", mount.name), "s").await;
    }
    let store = SecretStore::builder(Memory::new()).build().unwrap();
    let life = Lifecycle::new(store, MemoryLedger::new(), |task| drop(tokio::spawn(task)));
    let mut found = Vec::new();
    life.compare(&vault, Mode::DryRun, &mut |difference| found.push(difference.to_string())).await.unwrap();
    found.sort();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|line| line.starts_with("foreign_name: ")), "{found:?}");
    let refused = vault.credentials_of("user@example.com", None, 10).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Malformed);
}
