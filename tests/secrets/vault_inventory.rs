//! What Vault holds beside what records say, on a real OpenBao, with the token of the least-privilege policy.

use agentidp_secrets::vault::VaultKv2;
use agentidp_secrets::vault::inventory::{NamePage, RecordState};
use agentidp_secrets::{BackendId, ClientSecret, CredentialKey, ErrorKind, SecretBackend, StoredSecret};

use crate::support;
use crate::support::bao::{Mount, least_privilege};

fn key(client: &str, credential: &str) -> CredentialKey {
    CredentialKey::parse(client, credential).unwrap()
}

async fn fixture() -> (Mount, VaultKv2) {
    let mount = support::bao().fresh_mount(2).await;
    let vault = VaultKv2::builder(support::bao().address(), mount.policy_token.as_str()).mount(&mount.name);
    (mount, vault.build().unwrap())
}

#[tokio::test]
async fn each_standing_is_told_apart_without_further_rights() {
    let (bao, (mount, vault)) = (support::bao(), fixture().await);
    let key = key("a", "c");
    let path = format!("{}/data/agentidp/agents/a/credentials/c", mount.name);
    let record = |version: u64| StoredSecret::new(BackendId::VAULT_KV2, format!("{path}?version={version}"));
    let bare = StoredSecret::new(BackendId::VAULT_KV2, path.clone());
    let state = async |record: &StoredSecret| vault.record_state(&key, record).await.unwrap();

    assert_eq!(state(&record(1)).await, RecordState::Absent);
    let first = vault.store(&key, &ClientSecret::from("one")).await.unwrap();
    assert_eq!(state(&first).await, RecordState::Sound);
    assert_eq!(state(&bare).await, RecordState::Sound);
    let second = vault.rotate(&key, &first, &ClientSecret::from("two")).await.unwrap();
    assert_eq!(state(&first).await, RecordState::Behind { latest: 2 });
    assert_eq!(state(&second).await, RecordState::Sound);
    assert_eq!(state(&record(3)).await, RecordState::VersionGone { latest: 2 });
    bao.soft_delete(&path).await;
    assert_eq!(state(&second).await, RecordState::SoftDeleted);
    assert_eq!(state(&first).await, RecordState::Behind { latest: 2 }, "it is another version that is deleted");
    bao.destroy(&path, 2).await;
    assert_eq!(state(&second).await, RecordState::Destroyed);
    bao.root(reqwest::Method::POST, &path, serde_json::json!({ "data": { "other": 1 } })).await;
    assert_eq!(state(&record(3)).await, RecordState::Unreadable);

    // The number of a version that was written anew, as after a restore.
    let next = CredentialKey::parse("a", "d").unwrap();
    let first = vault.store(&next, &ClientSecret::from("one")).await.unwrap();
    vault.forget(&next).await.unwrap();
    let anew = vault.store(&next, &ClientSecret::from("two")).await.unwrap();
    assert_eq!(vault.points_to(&first), vault.points_to(&anew));
    assert_eq!(vault.record_state(&next, &first).await.unwrap(), RecordState::OtherWrite { latest: 1 });
    assert_eq!(vault.record_state(&next, &anew).await.unwrap(), RecordState::Sound);

    let foreign = StoredSecret::new(BackendId::VAULT_KV2, path.replacen("kv-", "ab-", 1));
    assert_eq!(vault.record_state(&key, &foreign).await.unwrap_err().kind(), ErrorKind::Malformed);
}

#[tokio::test]
async fn listing_needs_the_second_policy_and_comes_in_parts() {
    let (bao, (mount, vault)) = (support::bao(), fixture().await);
    let refused = vault.clients(None, 10).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    let needed = format!("`list` on `{}/metadata/agentidp/*`", mount.name);
    assert!(refused.to_string().contains(&needed), "{refused}");

    bao.write_policy(&mount.name, &(least_privilege(&mount.name) + &vault.listing_policy())).await;
    let nothing = vault.clients(None, 10).await.unwrap();
    assert_eq!((nothing.names.len(), nothing.next), (0, None));
    for (client, credential) in [("a", "1"), ("a", "2"), ("b", "1"), ("c", "1"), ("c-2", "1")] {
        vault.store(&key(client, credential), &ClientSecret::from("s")).await.unwrap();
    }
    let (mut names, mut after, mut parts) = (Vec::new(), None, 0);
    loop {
        let NamePage { names: part, next, .. } = vault.clients(after.as_deref(), 2).await.unwrap();
        assert!(part.len() <= 2);
        names.extend(part);
        parts += 1;
        let Some(next) = next else { break };
        after = Some(next);
    }
    names.sort();
    assert_eq!((names, parts), (["a", "b", "c", "c-2"].map(str::to_owned).to_vec(), 3));
    let credentials = vault.credentials_of("a", None, 10).await.unwrap();
    assert_eq!((credentials.names, credentials.next), (vec!["1".to_owned(), "2".to_owned()], None));
    assert_eq!(vault.credentials_of("../a", None, 10).await.unwrap_err().kind(), ErrorKind::Malformed);

    vault
        .revoke(
            &key("a", "1"),
            &StoredSecret::new(BackendId::VAULT_KV2, format!("{}/data/agentidp/agents/a/credentials/1", mount.name)),
        )
        .await
        .unwrap();
    assert_eq!(vault.credentials_of("a", None, 10).await.unwrap().names, ["2"]);
}
