//! Moves a fleet from one OpenBao to another while its clients log in, and no login fails:
//! `./scripts/with-vault ./scripts/with-vault --second cargo run --example move_vaults`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use agentidp_secrets::lifecycle::{Decision, Ledger as _, Lifecycle, MemoryLedger, Row};
use agentidp_secrets::vault::VaultKv2;
use agentidp_secrets::{ClientSecret, CredentialKey, SecretBackend as _, SecretStore};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

const FLEET: usize = 30;
/// The last ones never log in while the fleet moves.
const IDLE: usize = 3;
const HOUR: Duration = Duration::from_secs(3600);

type Life = Lifecycle<MemoryLedger>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let old = vault("VAULT_ADDR", "VAULT_TOKEN", None)?;
    let new = vault("SECOND_VAULT_ADDR", "SECOND_VAULT_TOKEN", Some("second"))?;
    let ledger = MemoryLedger::new(); // stands for your database
    let serving = |store: SecretStore| Lifecycle::new(store, ledger.clone(), |task| drop(tokio::spawn(task)));

    let life = serving(SecretStore::builder(old.clone()).build()?);
    let mut fleet = Vec::new();
    for agent in 0..FLEET {
        let key = CredentialKey::parse(&format!("agent-{agent}"), "credential-1")?;
        fleet.push((key.clone(), life.issue(&key, ()).await?.secret));
    }
    let idle = fleet.split_off(FLEET - IDLE);

    // What runs in production: each step below is a deployment.
    let (deploy, deployed) = watch::channel(life);
    let load = Load::start(&fleet, &deployed);
    load.go_on().await?;

    // 1. Every process learns to read the new Vault. While old processes still run, none of them meets a record that it cannot read.
    deploy.send_replace(serving(SecretStore::builder(old.clone()).accepts(new.clone()).build()?));
    load.go_on().await?;

    // 2. The new Vault becomes the primary: each login moves its credential, in the background.
    let life = serving(SecretStore::builder(new.clone()).accepts(old.clone()).build()?);
    deploy.send_replace(life.clone());
    timeout(HOUR, async {
        while at(&ledger, &old).await?.len() > IDLE {
            life.round().await; // as `work` does every few seconds
            sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, Box<dyn Error>>(())
    })
    .await??;

    // 3. Who did not log in is rotated. The secret that the client has works until the overlap ends.
    let mut rotated = Vec::new();
    for key in at(&ledger, &old).await? {
        rotated.push((key.clone(), life.rotate(&key, HOUR, ()).await?.secret));
    }
    for (key, secret) in idle.iter().chain(&rotated) {
        assert!(logs_in(&life, key, secret).await, "both secrets count");
    }
    for (key, _) in &rotated {
        life.end_previous(key, ()).await?;
    }

    // 4. What the credentials have left is pushed out of the old Vault: `work` does it in the background.
    for (key, secret) in fleet.iter().chain(&idle) {
        while old.inspect(key, Some(1)).await?.secret().is_some_and(|held| held.ct_eq(secret)) {
            life.round().await;
            sleep(Duration::from_millis(20)).await;
        }
    }

    // 5. Nobody needs the old Vault any more.
    deploy.send_replace(serving(SecretStore::builder(new).build()?));
    load.go_on().await?;
    let (logins, failed) = load.stop().await?;
    println!("moved {FLEET} credentials: {logins} logins, {failed} failed");
    assert_eq!(failed, 0);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "an example has no configuration but the environment")]
fn vault(address: &str, token: &str, instance: Option<&str>) -> Result<VaultKv2, Box<dyn Error>> {
    let (Ok(address), Ok(token)) = (std::env::var(address), std::env::var(token)) else {
        return Err(format!("set {address} and {token}, or run this under ./scripts/with-vault").into());
    };
    let builder = VaultKv2::builder(address, token);
    Ok(match instance {
        Some(name) => builder.instance(name).build()?,
        None => builder.build()?,
    })
}

/// Whose current secret is at this Vault.
async fn at(ledger: &MemoryLedger, vault: &VaultKv2) -> Result<Vec<CredentialKey>, Box<dyn Error>> {
    let rows = ledger.page(None, 2 * FLEET).await?;
    let is_there =
        |row: &Row| row.secrets.as_ref().is_some_and(|secrets| secrets.current.backend() == &vault.info().id);
    Ok(rows.into_iter().filter(is_there).map(|row| row.key).collect())
}

async fn logs_in(life: &Life, key: &CredentialKey, secret: &ClientSecret) -> bool {
    matches!(life.authenticate(key.client_id(), secret).await, Ok(Decision::Proved(_)))
}

/// Clients that log in again and again.
#[derive(Default)]
struct Counts {
    logins: AtomicUsize,
    failed: AtomicUsize,
    stop: AtomicBool,
}

struct Load {
    counts: Arc<Counts>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(fleet: &[(CredentialKey, ClientSecret)], deployed: &watch::Receiver<Life>) -> Self {
        let counts = Arc::<Counts>::default();
        let clients = fleet.chunks(8).map(|share| {
            let (share, deployed, counts) = (share.to_vec(), deployed.clone(), Arc::clone(&counts));
            tokio::spawn(async move {
                while !counts.stop.load(Ordering::Relaxed) {
                    for (key, secret) in &share {
                        let life = deployed.borrow().clone();
                        let failed = !logs_in(&life, key, secret).await;
                        counts.failed.fetch_add(usize::from(failed), Ordering::Relaxed);
                        counts.logins.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        });
        Self { clients: clients.collect(), counts }
    }

    /// Waits until each client has logged in some times more.
    async fn go_on(&self) -> Result<(), Box<dyn Error>> {
        let until = self.counts.logins.load(Ordering::Relaxed) + 4 * FLEET;
        let more = async {
            while self.counts.logins.load(Ordering::Relaxed) < until {
                sleep(Duration::from_millis(20)).await;
            }
        };
        Ok(timeout(HOUR, more).await?)
    }

    async fn stop(self) -> Result<(usize, usize), Box<dyn Error>> {
        self.counts.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await?;
        }
        Ok((self.counts.logins.load(Ordering::Relaxed), self.counts.failed.load(Ordering::Relaxed)))
    }
}
