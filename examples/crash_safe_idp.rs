//! A provider on SQLite that loses no secret, wherever it is killed: in each round the process dies one step later within an
//! issue, a rotation and an end. Steps are the moments at which a sequence waits for its database.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use agentidp_secrets::backends::Memory;
use agentidp_secrets::lifecycle::{Decision, Lifecycle};
use agentidp_secrets::{ClientSecret, CredentialKey, ManualClock, SecretStore};
use agentidp_secrets_sqlx::SqliteLedger;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

type Idp = Lifecycle<SqliteLedger>;
type Result<T> = std::result::Result<T, Box<dyn Error>>;

const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// A process over the database and the backend, both of which outlive it. It is killed after so many steps.
fn process(ledger: &SqliteLedger, store: &SecretStore, steps: usize) -> Idp {
    let left = Arc::new(AtomicUsize::new(steps));
    Lifecycle::new(store.clone(), ledger.clone(), move |task| {
        let left = Arc::clone(&left);
        tokio::spawn(async move {
            let mut task = pin!(task);
            // Dropped between two steps, as by a kill: nothing runs any more, and a transaction is rolled back.
            poll_fn(|context| match left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
                Ok(_) => task.as_mut().poll(context),
                Err(_) => Poll::Ready(()),
            })
            .await;
        });
    })
}

async fn works(idp: &Idp, key: &CredentialKey, secret: &ClientSecret) -> Result<bool> {
    let Decision::Proved(proof) = idp.authenticate(key.client_id(), secret).await? else { return Ok(false) };
    Ok(matches!(idp.still_counts(proof, secret).await?, Decision::Proved(_)))
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = SqliteConnectOptions::new().filename(folder.path().join("idp.db")).create_if_missing(true);
    let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH + OVERLAP));
    let pool = SqlitePoolOptions::new().connect_with(options).await?;
    let ledger = SqliteLedger::new(pool.clone()).with_clock(Arc::<ManualClock>::clone(&clock));
    ledger.migrate().await?;
    // Vault, in a provider of yours. It keeps the secrets, and the database says which of them count.
    let store = SecretStore::builder(Memory::new()).clock(Arc::<ManualClock>::clone(&clock)).build()?;
    let alive = process(&ledger, &store, usize::MAX);

    // A handler whose client hangs up is dropped where it waits. What it began is carried out all the same.
    let key = CredentialKey::parse("agent-7", "dropped")?;
    drop(tokio::time::timeout(Duration::ZERO, alive.issue(&key, ())).await);
    while alive.rotate(&key, OVERLAP, ()).await.is_err() {}
    println!("a dropped handler: its credential was made, and can be rotated");

    let mut kills = 0;
    for steps in 0.. {
        let key = CredentialKey::parse("agent-7", &format!("credential-{steps}"))?;
        let mortal = process(&ledger, &store, steps);
        let first = mortal.issue(&key, ()).await;
        let second = mortal.rotate(&key, OVERLAP, ()).await;
        let ended = mortal.end(&key, ()).await;

        // What was shown counts until the end that was acknowledged; after a kill within the end, it may or may not.
        let (shown, is_undecided) = ([first, second].into_iter().flatten(), ended.is_err());
        let mut counting = Vec::new();
        for shown in shown.collect::<Vec<_>>() {
            counting.push(works(&alive, &key, &shown.secret).await?);
        }
        assert!(counting.iter().all(|works| *works == counting[0] && (is_undecided || !works)));

        // Leases of the dead process end, and the living one does what is due.
        clock.advance(Duration::from_secs(3600));
        while alive.round().await.due > 0 {}
        match alive.rotate(&key, OVERLAP, ()).await {
            Ok(shown) => assert!(works(&alive, &key, &shown.secret).await? && is_undecided),
            Err(_) => assert!(counting.iter().all(|works| !works), "what counts can be rotated"),
        }
        if !is_undecided {
            break;
        }
        kills += 1;
    }
    println!("{kills} kills: no secret was lost, and nothing is stuck");
    Ok(())
}
