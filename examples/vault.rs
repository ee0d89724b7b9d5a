//! The life of a secret in OpenBao or Vault: `./scripts/with-vault cargo run --example vault`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use agentidp_secrets::vault::{VaultKv2, VaultPath};
use agentidp_secrets::{CredentialKey, ErrorKind, SecretStore, VerifyError};
use uuid::Uuid;

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "an example has no configuration but the environment")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (Ok(address), Ok(token)) = (std::env::var("VAULT_ADDR"), std::env::var("VAULT_TOKEN")) else {
        return Err("set VAULT_ADDR and VAULT_TOKEN, or run this under ./scripts/with-vault".into());
    };
    let vault = VaultKv2::builder(address, token).mount("secret").prefix("agentidp").build()?;
    // Is the mount there, and is it KV version 2? Find out at the start, and not with the first secret.
    vault.check().await?;
    let store = SecretStore::builder(vault).build()?;

    let key = CredentialKey::parse(&Uuid::new_v4().to_string(), &Uuid::new_v4().to_string())?;
    let first = store.issue(&key).await?;
    show("issued", first.stored.payload())?;
    store.verify(&key, &first.stored.clone().into(), &first.secret).await?;

    // A rotation writes a version; the record says which. Until yours is committed, the old record keeps working.
    let second = store.rotate(&key, &first.stored.clone().into(), Duration::ZERO).await?;
    show("rotated", second.stored.payload())?;
    store.verify(&key, &second.stored.clone().into(), &second.secret).await?;
    let refused = store.verify(&key, &second.stored.clone().into(), &first.secret).await;
    assert!(matches!(refused, Err(VerifyError::Mismatch)));
    println!("the first secret no longer counts");

    // A rotation from a record that is no longer the latest overwrites nothing.
    let late =
        store.rotate(&key, &first.stored.clone().into(), Duration::ZERO).await.err().ok_or("the stale record won")?;
    assert_eq!(late.kind(), ErrorKind::Conflict);
    println!("a late rotation: {late}");

    // The end of the credential: every version goes, history and all. "Gone" is not "wrong".
    store.revoke(&key, &second.stored.clone().into()).await?;
    match store.verify(&key, &second.stored.into(), &second.secret).await {
        Err(VerifyError::Backend(error)) => println!("after the revocation: {error}"),
        other => return Err(format!("a revoked secret answered {other:?}").into()),
    }
    Ok(())
}

fn show(what: &str, payload: &str) -> Result<(), agentidp_secrets::Error> {
    let path = VaultPath::parse(payload)?;
    println!("{what}: version {} on mount {}", path.version().unwrap_or_default(), path.mount());
    Ok(())
}
