//! An overlap, and the move from one backend to another.
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

    // Two rotations at once: one writes, the other reads the row again.
    let lost = store.rotate(&key, &row, Duration::ZERO).await?;
    let second = store.rotate(&key, &row, Duration::ZERO).await.err().ok_or("both won")?;
    println!("the second of two: {second}");

    // Say that the commit of the first was lost. The row has not changed, so nothing is cleared up: the row's secret keeps
    // working, and the next rotation writes over the version that no row names.
    store.verify(&key, &row, &new.secret).await?;
    let last = store.rotate_over(&key, &row, Duration::ZERO).await?;
    let row: CredentialSecrets = last.stored.into();
    store.verify(&key, &row, &last.secret).await?;
    assert!(matches!(store.verify(&key, &row, &lost.secret).await, Err(VerifyError::Mismatch)));

    // The end of the credential: commit it first, then every backend forgets all of it.
    store.revoke(&key, &row).await?;
    println!("the credential has ended");
    Ok(())
}
