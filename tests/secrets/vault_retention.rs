//! What Vault keeps of a secret's versions is tried on a path of its own.

use agentidp_secrets::backends::VaultKv2;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support;
use crate::support::bao::Mount;

async fn mount(config: Value) -> (Mount, VaultKv2) {
    let mount = support::bao().fresh_mount(2).await;
    support::bao().root(Method::POST, &format!("{}/config", mount.name), config).await;
    let vault = VaultKv2::builder(support::bao().address(), mount.policy_token.as_str()).mount(&mount.name);
    let vault = vault.build().unwrap();
    (mount, vault)
}

#[tokio::test]
async fn as_many_versions_are_found_as_the_mount_keeps_and_no_more_are_tried_than_expected() {
    for (config, expected, found) in [
        (json!({}), 10, 10),
        (json!({}), 12, 10),
        (json!({}), 4, 4),
        (json!({ "max_versions": 1 }), 10, 1),
        (json!({ "max_versions": 3 }), 10, 3),
    ] {
        let (mount, vault) = mount(config.clone()).await;
        let retention = vault.check_retention(expected).await.unwrap();
        assert_eq!((retention.versions, retention.deletes_by_itself), (found, false), "{config} {expected}");
        let left = format!("{}/metadata/agentidp/agents/check/credentials?list=true", mount.name);
        let (status, _) = support::bao().call(support::bao().root_token(), Method::GET, &left, None).await;
        assert_eq!(status, 404, "nothing is left behind");
    }
}

#[tokio::test]
async fn versions_that_delete_themselves_are_found() {
    let (_mount, vault) = mount(json!({ "delete_version_after": "1h" })).await;
    assert!(vault.check_retention(10).await.unwrap().deletes_by_itself);
}
