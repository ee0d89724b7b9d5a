//! Secrets that were made elsewhere, in a real OpenBao.

use std::time::Duration;

use agentidp_secrets::lifecycle::{Decision, Failure, Lifecycle, MemoryLedger};
use agentidp_secrets::vault::VaultKv2;
use agentidp_secrets::{ClientSecret, CredentialKey, ErrorKind, ImportedSecret, SecretStore, StoredSecret};

use crate::support;

#[tokio::test]
async fn a_secret_is_brought_and_an_entry_of_another_program_is_taken_over() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let vault = VaultKv2::builder(bao.address(), mount.policy_token.as_str()).mount(&mount.name).build().unwrap();
    let store = SecretStore::builder(vault).build().unwrap();
    let life = Lifecycle::new(store, MemoryLedger::new(), |task| drop(tokio::spawn(task)));
    let works = async |key: &CredentialKey, secret: &ClientSecret| {
        matches!(life.authenticate(key.client_id(), secret).await.unwrap(), Decision::Proved(_))
    };

    let (key, secret) = (CredentialKey::parse("https://idp.example/7", "c1").unwrap(), ClientSecret::from("chosen"));
    let brought = ImportedSecret::foreign(secret.clone(), 0);
    life.import(&key, &brought, ()).await.unwrap();
    assert!(works(&key, &secret).await);

    // Another program wrote twice, and goes on writing.
    let other = CredentialKey::parse("agent-8", "c1").unwrap();
    let path = format!("{}/data/agentidp/agents/agent-8/credentials/c1", mount.name);
    bao.write_root(&path, "first").await;
    bao.write_root(&path, "second").await;
    let Err(Failure::Backend(refused)) = life.import(&other, &brought, ()).await else { panic!("it is occupied") };
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(bao.read_root(&path).await.unwrap().client_secret(), "second");

    life.take_over(&other, &StoredSecret::parse(&path).unwrap(), ()).await.unwrap();
    bao.write_root(&path, "third").await;
    assert!(works(&other, &"second".into()).await, "the row pins what was meant");
    assert!(!works(&other, &"third".into()).await);
    let rotated = life.rotate(&other, Duration::from_secs(3600), ()).await.unwrap();
    assert!(works(&other, &rotated.secret).await && works(&other, &"second".into()).await);

    let nowhere = path.replace("agent-8", "agent-9");
    let other = CredentialKey::parse("agent-9", "c1").unwrap();
    let Err(Failure::Backend(gone)) = life.take_over(&other, &StoredSecret::parse(&nowhere).unwrap(), ()).await else {
        panic!("nothing is there");
    };
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}
