//! The guide's commands, run line by line.

use agentidp_secrets::vault::VaultKv2;
use agentidp_secrets::vault::auth::{AppRole, VaultAuth};
use agentidp_secrets::{ClientSecret, CredentialKey, SecretBackend, Verdict};

use crate::support;

const GUIDE: &str = include_str!("../../agentidp-secrets/src/guide/vault.md");

/// The text of every block in one language.
fn blocks(language: &str) -> Vec<&'static str> {
    let opening = format!("```{language}\n");
    GUIDE.split(opening.as_str()).skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block).collect()
}

#[tokio::test]
async fn the_policy_shown_is_the_one_that_is_printed() {
    let vault = VaultKv2::builder(support::bao().address(), "s.token").build().unwrap();
    let eu = VaultKv2::builder(support::bao().address(), "s.token").mount("secret-eu").instance("eu").build().unwrap();
    assert_eq!(blocks("hcl")[..3], [vault.policy(), vault.listing_policy(), eu.policy()]);
}

#[tokio::test]
async fn every_command_works_in_the_order_of_the_page() {
    let bao = support::bao();
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("agentidp.hcl");
    let listing = folder.path().join("agentidp-list.hcl");
    std::fs::write(&policy, blocks("hcl")[0]).unwrap();
    std::fs::write(&listing, blocks("hcl")[1]).unwrap();
    let of_token = folder.path().join("agentidp-token.hcl");
    std::fs::write(&of_token, blocks("hcl")[3]).unwrap();
    let second = folder.path().join("agentidp-eu.hcl");
    std::fs::write(&second, blocks("hcl")[2]).unwrap();
    let (key, secret) = (CredentialKey::parse("guide", "c1").unwrap(), ClientSecret::generate().unwrap());

    let (mut token, mut first) = (String::new(), None);
    let (mut role_id, mut secret_id, mut wrapping) = (String::new(), String::new(), String::new());
    for line in blocks("sh").iter().flat_map(|block| block.lines()) {
        let line = line.replace("agentidp-token.hcl", of_token.to_str().unwrap());
        let line = line.replace(" agentidp.hcl", &format!(" {}", policy.display()));
        let line = line.replace(" agentidp-eu.hcl", &format!(" {}", second.display()));
        let line = line.replace(" agentidp-list.hcl", &format!(" {}", listing.display()));
        let line =
            line.replace("$AGENT", key.client_id().as_str()).replace("$CREDENTIAL", key.credential_id().as_str());
        let arguments: Vec<&str> = line.strip_prefix("bao ").unwrap().split(' ').collect();
        // What an administrator prepares, and what the page does with the token that it has made.
        let with_own = matches!(arguments[..2], ["token", "renew" | "lookup"] | ["kv", "get"]);
        let output = bao.cli(if with_own { &token } else { bao.root_token() }, &arguments).await;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(output.status.success(), "{line}: {said} {}", String::from_utf8_lossy(&output.stderr));
        if arguments.starts_with(&["token", "create"]) {
            token = said;
            let vault = VaultKv2::builder(bao.address(), token.as_str()).build().unwrap();
            vault.check().await.unwrap();
            let stored = match first {
                Some(stored) => stored,
                None => vault.store(&key, &secret).await.unwrap(),
            };
            assert_eq!(vault.verify(&key, &stored, &secret).await.unwrap(), Verdict::Match);
            assert!(vault.token_status().await.unwrap().renewable, "{line}");
            first = Some(stored);
        } else if arguments.contains(&"-field=role_id") {
            role_id = said;
        } else if arguments.contains(&"-field=secret_id") {
            secret_id = said;
        } else if arguments.contains(&"-field=wrapping_token") {
            wrapping = said;
        } else if arguments.starts_with(&["kv", "get"]) {
            assert_eq!(said, secret.expose_secret());
        }
    }
    assert!(first.is_some(), "the page makes a token");
    let roles = [AppRole::new(role_id.as_str(), secret_id), AppRole::new(role_id.as_str(), wrapping).wrapped()];
    for role in roles {
        let vault = VaultKv2::builder(bao.address(), VaultAuth::AppRole(role)).build().unwrap();
        vault.check().await.unwrap();
    }
}
