//! Records of two backends at once, and an outage of one of them.
//!
//! The second backend is the one in memory, which behaves as Vault does: the store does not care.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use agentidp_secrets::backends::{Bcrypt, Memory};
use agentidp_secrets::testkit::{Fault, FaultLayer};
use agentidp_secrets::{
    ClientSecret, CredentialKey, CredentialSecrets, ErrorKind, SecretStore, StoredSecret, VerifyError, stack,
};

/// A row as the system before us wrote it: a bare bcrypt digest, made by Python.
const OLD_ROW: &str = "$2b$10$yt3U5y2WXw1qPvAI/V/I9ec8xHmHVdTon4GVYWnEATdj3NXG5Lcgy";
const OLD_SECRET: &str = "sk_live_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // New secrets go to the primary; records of what is accepted keep verifying.
    let faults = FaultLayer::new();
    let remote = stack(Memory::new(), &[&faults]);
    let store = SecretStore::builder(remote).accepts(Bcrypt::builder().build()?).build()?;

    let old_key = CredentialKey::parse("agent-7", "from-before")?;
    let new_key = CredentialKey::parse("agent-7", "from-today")?;
    let issued = store.issue(&new_key).await?;
    let credentials: Vec<(CredentialKey, CredentialSecrets)> =
        vec![(old_key, StoredSecret::parse(OLD_ROW)?.into()), (new_key, issued.stored.into())];

    let candidates = [("old", OLD_SECRET.into()), ("new", issued.secret), ("wrong", ClientSecret::from("a guess"))];
    for state in ["all is well", "the primary is down"] {
        println!("{state}:");
        for (what, candidate) in &candidates {
            println!("  the {what} secret: {}", answer(&store, &credentials, candidate).await);
        }
        faults.on_everything(Fault::Fail(ErrorKind::Unavailable));
    }
    Ok(())
}

async fn answer(
    store: &SecretStore,
    credentials: &[(CredentialKey, CredentialSecrets)],
    candidate: &ClientSecret,
) -> String {
    match store.verify_any(credentials, candidate).await {
        Ok(proof) => {
            let (key, secrets) = &credentials[proof.index];
            format!("200, proved by {} ({})", key.credential_id(), store.backend_of(&secrets.current))
        }
        Err(VerifyError::Mismatch) => "401, wrong".to_owned(),
        // While a backend is down a wrong secret cannot be told from one that only that backend knows.
        Err(_) => "500, nobody could say".to_owned(),
    }
}
