//! Two databases on one folder in Vault: a copy deletes and pushes out nothing there, until an operator says that it is the right one.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentidp_secrets::folder::{
    Disagreement, Folder, FolderError, FolderState, GATE_LEASE, MemoryFolderRows, Others, WATCH_TIME,
};
use agentidp_secrets::lifecycle::{Decision, Failure, Lifecycle, MemoryLedger};
use agentidp_secrets::vault::VaultKv2;
use agentidp_secrets::{CredentialKey, ErrorKind, ManualClock, SecretStore};

use crate::support;

const STEP: Duration = Duration::from_secs(10);

/// An identity provider with a database of its own.
struct Deployment {
    life: Lifecycle<MemoryLedger>,
    folder: Folder<MemoryFolderRows>,
}

impl Deployment {
    fn new(vault: &VaultKv2, ledger: MemoryLedger, rows: MemoryFolderRows, clock: &Arc<ManualClock>) -> Self {
        let store = SecretStore::builder(vault.clone()).build().unwrap();
        let folder = Folder::new(vault.clone(), rows, "the folder", Arc::clone(clock) as _);
        let life = Lifecycle::new(store, ledger, |task| drop(tokio::spawn(task))).with_gate(folder.gate().clone());
        Self { life, folder }
    }

    fn state(&self) -> FolderState {
        self.folder.gate().state()
    }
}

async fn run(clock: &ManualClock, deployments: &[&Deployment], time: Duration) {
    for _ in 0..time.as_secs() / STEP.as_secs() {
        clock.advance(STEP);
        for deployment in deployments {
            deployment.folder.look().await;
            deployment.life.round().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_database_deletes_nothing_until_an_operator_admits_it() {
    let mount = support::bao().fresh_mount(2).await;
    let vault = VaultKv2::builder(support::bao().address(), mount.policy_token.as_str());
    let vault = vault.mount(mount.name.as_str()).build().unwrap();
    let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)));
    let (ledger, rows) = (MemoryLedger::with_clock(Arc::clone(&clock) as _), MemoryFolderRows::new());
    let original = Deployment::new(&vault, ledger.clone(), rows.clone(), &clock);
    assert_eq!(original.state(), FolderState::Unknown, "nothing was looked at yet");
    assert_eq!(original.folder.look().await, FolderState::Agrees, "an unclaimed folder is claimed");

    let key = CredentialKey::parse("agent-7", "credential-1").unwrap();
    let shown = original.life.issue(&key, ()).await.unwrap();
    let is_served = async || {
        let decision = original.life.authenticate(key.client_id(), &shown.secret).await;
        matches!(decision.unwrap(), Decision::Proved(_))
    };

    let rotated = CredentialKey::parse("agent-7", "credential-2").unwrap();
    let kept = original.life.issue(&rotated, ()).await.unwrap();

    // An operator tries the copy out.
    let copy = Deployment::new(&vault, ledger.copy(), rows.copy(), &clock);
    copy.life.end(&key, ()).await.unwrap();
    run(&clock, &[&original, &copy], 2 * WATCH_TIME).await;
    assert_eq!(
        (original.state(), copy.state()),
        (FolderState::Agrees, FolderState::Disagrees(Disagreement::EntryNewer))
    );
    assert!(is_served().await, "what the copy has ended is the original's");

    // Vault keeps ten versions: the copy leaves room for one that the original writes.
    for _ in 1..9 {
        copy.life.rotate(&rotated, Duration::ZERO, ()).await.unwrap();
    }
    let refused = copy.life.rotate(&rotated, Duration::ZERO, ()).await;
    assert!(matches!(refused, Err(Failure::Backend(error)) if error.kind() == ErrorKind::Conflict));
    let decision = original.life.authenticate(rotated.client_id(), &kept.secret).await;
    assert!(matches!(decision.unwrap(), Decision::Proved(_)), "what the copy has rotated is the original's");
    original.life.rotate(&rotated, Duration::ZERO, ()).await.unwrap();

    // The operator decides for the copy.
    let found = copy.folder.compare().await.unwrap();
    copy.folder.admit(&found, Others::Keep).await.unwrap();
    let late = copy.folder.admit(&found, Others::Keep).await;
    assert!(matches!(late, Err(FolderError::Changed)), "the entry is another one by now");
    copy.folder.admit(&copy.folder.compare().await.unwrap(), Others::Keep).await.unwrap();
    run(&clock, &[&original], GATE_LEASE).await;
    assert!(matches!(original.state(), FolderState::Disagrees(_)));
    assert!(is_served().await, "nothing was deleted yet");
    run(&clock, &[&original, &copy], 2 * WATCH_TIME).await;
    assert_eq!(copy.state(), FolderState::Agrees);
    let gone = original.life.authenticate(key.client_id(), &shown.secret).await;
    assert!(matches!(gone, Err(Failure::Backend(error)) if error.kind() == ErrorKind::NotFound));
}
