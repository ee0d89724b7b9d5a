//! Two backends of one kind over both databases.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::backends::{Instance, Memory};
use agentidp_secrets::lifecycle::{Freshness, Ledger};
use agentidp_secrets::{CredentialKey, Held, SecretBackend as _, SecretStore, StoredSecret};

use crate::site::{Site, on_postgres, on_sqlite, over};

/// Moves a credential from `memory` to `memory:eu`, and ends it.
async fn a_credential_moves<L: Ledger + Clone, P: Sync>(mut site: Site<L, P>) {
    let (old, new) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let eu = || Instance::new("eu", Arc::clone(&new)).unwrap();
    let is_gone =
        async |memory: &Memory, key: &CredentialKey| matches!(memory.inspect(key, None).await.unwrap(), Held::Nothing);

    site.life = over(site.ledger.clone(), SecretStore::builder(Arc::clone(&old)).accepts(eu()).build().unwrap());
    let first = site.life.issue(&site.key, ()).await.unwrap();
    site.life = over(site.ledger.clone(), SecretStore::builder(eu()).accepts(Arc::clone(&old)).build().unwrap());
    let second = site.life.rotate(&site.key, Duration::from_secs(3600), ()).await.unwrap();

    let rows = site.ledger.rows(site.key.client_id(), Freshness::Latest).await.unwrap().known.unwrap().rows();
    let secrets = rows[0].secrets.as_ref().unwrap();
    let texts = [&secrets.current, &secrets.previous.as_ref().unwrap().stored].map(StoredSecret::to_text);
    assert_eq!(texts, ["{memory:eu}agent-7/credential-1?version=1", "{memory}agent-7/credential-1?version=1"]);
    assert!(site.works(&first.secret).await && site.works(&second.secret).await, "both within the overlap");

    site.life.end_previous(&site.key, ()).await.unwrap();
    assert!(!site.works(&first.secret).await && site.works(&second.secret).await);
    let left = old.inspect(&site.key, None).await.unwrap();
    assert!(left.version() > 1 && left.secret().is_none(), "blank versions lie over it: {left:?}");

    site.life.end(&site.key, ()).await.unwrap();
    assert!(is_gone(&old, &site.key).await && is_gone(&new, &site.key).await);
}

#[tokio::test]
async fn a_credential_moves_between_two_instances_on_postgresql() {
    a_credential_moves(on_postgres().await).await;
}

#[tokio::test]
async fn a_credential_moves_between_two_instances_on_sqlite() {
    a_credential_moves(on_sqlite().await).await;
}
