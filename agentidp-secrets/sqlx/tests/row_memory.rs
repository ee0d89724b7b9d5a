//! What rows in memory take, by an allocator that counts: a binary of its own, so that nothing else allocates meanwhile.

use std::sync::Arc;
use std::time::SystemTime;

use agentidp_secrets::lifecycle::{Freshness, Known, Revision, Row};
use agentidp_secrets::{BackendId, CredentialKey, CredentialSecrets, Selector, StoredSecret};
use agentidp_secrets_sqlx::memory::RowMemory;
use agentidp_secrets_sqlx::replicas::{LeaseClock, Memory};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const CLIENTS: u128 = 100_000;

/// One credential with a selector beside its bcrypt digest, as the server's rows are.
#[cfg(test)]
fn row(client: u128) -> Arc<Known> {
    let id = format!("{client:032x}");
    let id = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
    let current = StoredSecret::new(BackendId::BCRYPT, format!("$2b$10${}", "a".repeat(53)));
    let selector = Some(Selector::parse("2027-01:0123456789abcdef").unwrap());
    let secrets = CredentialSecrets { current, selector, previous: None };
    let revision = Some(Revision::from_bytes(client.to_le_bytes()));
    Arc::new(Known::new(true, vec![Row::new(CredentialKey::parse(&id, &id).unwrap(), Some(secrets), revision)]))
}

/// The cache, its index and what it holds: all that there is, divided by the number of rows.
#[tokio::test]
async fn a_client_with_one_credential_takes_at_most_250_bytes() {
    let before = PeakAlloc.current_usage();
    let memory = RowMemory::<u128, ()>::new(CLIENTS as usize, LeaseClock::machine(), |_| None);
    for client in 0..CLIENTS {
        memory.extend(memory.now(), SystemTime::UNIX_EPOCH);
        memory.rows(&client, Freshness::Cached, async |_| Ok(Some(row(client)))).await.unwrap();
    }
    let taken = PeakAlloc.current_usage() - before;
    let held = memory.len();
    // Shards fill unevenly.
    assert!(held as u128 > CLIENTS * 9 / 10, "{held} are held");
    assert!(taken / held <= 250, "{} bytes each", taken / held);
}
