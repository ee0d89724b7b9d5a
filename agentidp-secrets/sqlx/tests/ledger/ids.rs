//! Ids of every kind in both databases.

use std::time::Duration;

use agentidp_secrets::CredentialKey;
use agentidp_secrets::backends::Memory;
use agentidp_secrets::lifecycle::Ledger;
use agentidp_secrets::lifecycle::compare::Mode;

use crate::site::{Site, on_postgres, on_sqlite};

const IDS: [&str; 10] = [
    "https://idp.example/clients/7",
    "user@example.com",
    "a name with blanks ",
    "\"quoted\" and 'quoted'; DROP TABLE agentidp_clients; --",
    "🔑 Zoë",
    "Zoe\u{308}",
    "..",
    "%_\\",
    "=",
    "{}",
];

async fn ids_live<L: Ledger + Clone, P: Sync>(mut site: Site<L, P>) {
    let mut ids: Vec<_> = IDS.map(str::to_owned).to_vec();
    ids.extend(["🔑".repeat(63), "a".repeat(255)]);
    for (client, credential) in ids.iter().zip(ids.iter().rev()) {
        site.key = CredentialKey::parse(client, credential).unwrap();
        let first = site.life.issue(&site.key, ()).await.unwrap();
        let second = site.life.rotate(&site.key, Duration::from_secs(3600), ()).await.unwrap();
        assert!(site.works(&first.secret).await && site.works(&second.secret).await, "{client}");
    }
    let mut named = Vec::new();
    // A backend that holds nothing: each row is told by its ids.
    site.life
        .compare(&Memory::new(), Mode::DryRun, &mut |difference| named.push(difference.key().unwrap()))
        .await
        .unwrap();
    let mut keys: Vec<_> = ids.iter().zip(ids.iter().rev()).map(|(a, b)| CredentialKey::parse(a, b).unwrap()).collect();
    named.sort();
    named.dedup();
    keys.sort();
    assert_eq!(named, keys);
}

#[tokio::test]
async fn ids_of_every_kind_live_on_postgresql() {
    ids_live(on_postgres().await).await;
}

#[tokio::test]
async fn ids_of_every_kind_live_on_sqlite() {
    ids_live(on_sqlite().await).await;
}
