//! Issue a secret, keep its record, verify candidates.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::HashMap;
use std::error::Error;

use agentidp_secrets::backends::Bcrypt;
use agentidp_secrets::{ClientSecret, CredentialKey, SecretStore, StoredSecret, VerifyError};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = SecretStore::builder(Bcrypt::builder().build()?).build()?;
    store.prepare().await?;
    let mut database: HashMap<CredentialKey, String> = HashMap::new();

    // Issue: commit the record, then show the secret. It cannot be shown again.
    let key = CredentialKey::parse("agent-7", "credential-1")?;
    let issued = store.issue(&key).await?;
    database.insert(key.clone(), issued.stored.to_text());
    println!("the agent gets       {}...", &issued.secret.expose_secret()[..12]);
    println!("the database keeps   {}...", &issued.stored.to_text()[..16]);

    // Verify: the record comes back in.
    let appended = format!("{}x", issued.secret.expose_secret());
    for (what, candidate) in [("the secret", issued.secret), ("one byte more", ClientSecret::from(appended))] {
        let record = StoredSecret::parse(database.get(&key).ok_or("no such credential")?)?;
        match store.verify(&key, &record.into(), &candidate).await {
            Ok(proof) => println!("{what:<20} proved: {proof:?}"),
            Err(VerifyError::Mismatch) => println!("{what:<20} wrong: 401 invalid_client"),
            Err(error) => println!("{what:<20} nobody could say: 500 ({error})"),
        }
    }

    // Somebody unknown: the same work, the same answer, so that time tells nothing.
    store.verify_decoy(&ClientSecret::from("a guess")).await;
    println!("{:<20} wrong: 401 invalid_client", "an unknown client");
    Ok(())
}
