//! A grace period, and the move from one backend to another.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentidp_secrets::backends::{Bcrypt, Memory};
use agentidp_secrets::{Clock, CredentialKey, CredentialSecrets, Generation, ManualClock, SecretStore, VerifyError};

const GRACE: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let key = CredentialKey::parse("agent-7", "credential-1")?;
    let before = SecretStore::builder(Bcrypt::builder().build()?).build()?;
    let old = before.issue(&key).await?;

    // The new primary stands for Vault. Rotating is all the migration there is.
    let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH));
    let store = SecretStore::builder(Memory::new())
        .accepts(Bcrypt::builder().build()?)
        .clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .build()?;
    let new = store.rotate(&key, &old.stored.clone().into(), GRACE).await?;
    println!("moved from {} to {}", old.stored.backend(), new.stored.backend());

    // One row holds both records. Commit it, then show the new secret.
    let row = CredentialSecrets { current: new.stored, selector: new.selector, previous: new.previous };
    let proof = store.verify(&key, &row, &new.secret).await?;
    assert_eq!(proof.generation, Generation::Current);
    let proof = store.verify(&key, &row, &old.secret).await?;
    println!("the old secret still counts: {:?}", proof.generation);

    clock.advance(GRACE);
    let refused = store.verify(&key, &row, &old.secret).await;
    assert!(matches!(refused, Err(VerifyError::Mismatch)));
    println!("a day later it does not");

    // The old record lived elsewhere: have it forgotten there. (On the same backend this would take the new one too.)
    if let Some(previous) = row.previous.as_ref().filter(|previous| previous.stored.backend() != row.current.backend())
    {
        store.revoke(&key, &previous.stored.clone().into()).await?;
    }

    // Two rotations at once: one wins, the other reads the row again.
    let winner = store.rotate(&key, &row, Duration::ZERO).await?;
    let loser = store.rotate(&key, &row, Duration::ZERO).await;
    println!("the second of two: {}", loser.err().ok_or("both won")?);
    store.verify(&key, &winner.stored.into(), &winner.secret).await?;
    Ok(())
}
