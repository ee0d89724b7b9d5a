//! Two Vaults in one store, on real OpenBaos: what counts moves from the one to the other, by rotation and by login.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use agentidp_secrets::lifecycle::{Decision, Event, Lifecycle, MemoryLedger, MoveOutcome};
use agentidp_secrets::vault::{VaultKv2, VaultKv2Builder};
use agentidp_secrets::{
    ClientSecret, Clock, CredentialKey, ErrorKind, Held, ManualClock, SecretBackend, SecretStore, StoredSecret,
    VerifyError,
};
use reqwest::Method;
use serde_json::json;

use crate::support::bao::least_privilege;
use crate::support::process::until;
use crate::support::{self, Bao};

const HOUR: Duration = Duration::from_secs(3600);

/// From `vault-kv2` to `vault-kv2:new`, which is another place.
async fn moves(old: VaultKv2, new: VaultKv2) {
    assert_eq!((old.info().id.as_str(), new.info().id.as_str()), ("vault-kv2", "vault-kv2:new"));
    let clock = Arc::new(ManualClock::at(SystemTime::UNIX_EPOCH + HOUR));
    let ledger = MemoryLedger::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let upgraded = Arc::new(AtomicUsize::new(0));
    let life = |primary: &VaultKv2, accepted: &VaultKv2, upgrades: bool| {
        let store = SecretStore::builder(primary.clone()).accepts(accepted.clone());
        let store = store.clock(Arc::<ManualClock>::clone(&clock)).build().unwrap();
        let seen = Arc::clone(&upgraded);
        Lifecycle::new(store, ledger.clone(), |task| drop(tokio::spawn(task))).with_upgrades(upgrades).with_observer(
            move |event| {
                seen.fetch_add(usize::from(matches!(event, Event::Upgraded { .. })), Ordering::Relaxed);
            },
        )
    };
    let (before, after) = (life(&old, &new, false), life(&new, &old, false));
    let key = |credential: &str| CredentialKey::parse("https://idp.example/7", credential).unwrap();

    // By a rotation: both secrets work within the overlap, each where it is.
    let first = before.issue(&key("rotated"), ()).await.unwrap();
    let second = after.rotate(&key("rotated"), HOUR, ()).await.unwrap();
    let text = second.row.secrets.as_ref().unwrap().current.to_text();
    assert!(text.starts_with("{vault-kv2:new}"), "{text}");
    assert_eq!(StoredSecret::parse(&text).unwrap().to_text(), text);
    for life in [&before, &after] {
        assert!(
            works(life, &key("rotated"), &first.secret).await && works(life, &key("rotated"), &second.secret).await
        );
    }
    clock.advance(HOUR);
    assert!(!works(&after, &key("rotated"), &first.secret).await);
    assert!(works(&after, &key("rotated"), &second.secret).await);
    assert_eq!(after.round().await.failed, 0);
    assert!(!holds(&old, &key("rotated"), &first.secret).await, "blank versions push it out");

    // By a login, in the background; the client keeps its secret.
    let kept = before.issue(&key("kept"), ()).await.unwrap();
    assert!(works(&life(&new, &old, true), &key("kept"), &kept.secret).await);
    until("the upgrade", async || upgraded.load(Ordering::Relaxed) == 1).await;
    let row = ledger.entry(&key("kept")).state.active().cloned().unwrap();
    assert_eq!(row.secrets.unwrap().current.backend(), &new.info().id);
    assert_eq!(after.round().await.failed, 0);
    assert!(works(&after, &key("kept"), &kept.secret).await && !holds(&old, &key("kept"), &kept.secret).await);

    // And back, over the blank versions.
    let third = life(&old, &new, false).rotate(&key("kept"), Duration::ZERO, ()).await.unwrap();
    assert!(works(&after, &key("kept"), &third.secret).await && !works(&after, &key("kept"), &kept.secret).await);
    after.round().await;
    assert!(!holds(&new, &key("kept"), &kept.secret).await && holds(&old, &key("kept"), &third.secret).await);

    // All at once, and back: a bulk move reads each secret where it is.
    let mut moved = Vec::new();
    for number in 0..9 {
        let key = CredentialKey::parse(&format!("bulk-{number}"), "c").unwrap();
        moved.push((before.issue(&key, ()).await.unwrap().secret, key));
    }
    for (life, from, to) in [(&after, &old, &new), (&before, &new, &old)] {
        let mut outcomes = Vec::new();
        let mut all = life.move_all().at_once(8);
        while let Some(one) = all.next().await.unwrap() {
            assert!(matches!(one.outcome, MoveOutcome::Moved | MoveOutcome::AlreadyThere), "{one:?}");
            outcomes.push(one.reported.row.key);
        }
        assert_eq!(outcomes.len(), moved.len() + 2, "those of above are among them");
        assert_eq!(life.round().await.failed, 0);
        for (secret, key) in &moved {
            assert!(works(life, key, secret).await);
            assert!(to.inspect(key, None).await.unwrap().secret().is_some_and(|held| held.ct_eq(secret)));
        }
        let (secret, key) = &moved[0];
        assert!(!holds(from, key, secret).await, "blank versions push it out");
    }

    // The end reaches both.
    for credential in ["rotated", "kept"] {
        after.end(&key(credential), ()).await.unwrap();
        for vault in [&old, &new] {
            assert!(matches!(vault.inspect(&key(credential), None).await.unwrap(), Held::Nothing));
        }
    }

    // Without its Vault a record is a broken configuration.
    let alone = SecretStore::builder(old.clone()).build().unwrap();
    let Err(VerifyError::Backend(error)) =
        alone.verify(&key("rotated"), &StoredSecret::parse(&text).unwrap().into(), &second.secret).await
    else {
        panic!("nobody could decide");
    };
    assert_eq!(error.kind(), ErrorKind::UnknownBackend);
    assert!(error.to_string().contains("`vault-kv2:new`"), "{error}");
}

async fn works(life: &Lifecycle<MemoryLedger>, key: &CredentialKey, secret: &ClientSecret) -> bool {
    match life.authenticate(key.client_id(), secret).await.unwrap() {
        Decision::Proved(proof) => proof.key() == key,
        Decision::NotActive | Decision::Mismatch { .. } => false,
    }
}

/// Whether any version at the key's place has this secret.
async fn holds(vault: &VaultKv2, key: &CredentialKey, secret: &ClientSecret) -> bool {
    let latest = vault.inspect(key, None).await.unwrap().version();
    for version in 1..=latest {
        if vault.inspect(key, Some(version)).await.unwrap().secret().is_some_and(|held| held.ct_eq(secret)) {
            return true;
        }
    }
    false
}

fn named(builder: VaultKv2Builder) -> VaultKv2 {
    builder.instance("new").build().unwrap()
}

#[tokio::test]
async fn credentials_move_between_two_mounts() {
    let bao = support::bao();
    let (old, new) = (bao.fresh_mount(2).await, bao.fresh_mount(2).await);
    let at =
        |mount: &support::bao::Mount| VaultKv2::builder(bao.address(), mount.policy_token.as_str()).mount(&mount.name);
    moves(at(&old).build().unwrap(), named(at(&new))).await;
}

#[tokio::test]
async fn credentials_move_between_two_prefixes() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let other = VaultKv2::builder(bao.address(), "t").mount(&mount.name).prefix("team/idp").build().unwrap();
    bao.write_policy(&mount.name, &(least_privilege(&mount.name) + &other.policy())).await;
    let at = || VaultKv2::builder(bao.address(), mount.policy_token.as_str()).mount(&mount.name);
    moves(at().build().unwrap(), named(at().prefix("team/idp"))).await;
}

#[tokio::test]
async fn credentials_move_between_two_namespaces() {
    let bao = support::bao();
    let mut at = Vec::new();
    for team in ["one", "two"] {
        let namespace = format!("{team}-{}", uuid::Uuid::new_v4().simple());
        bao.root(Method::POST, &format!("sys/namespaces/{namespace}"), json!({})).await;
        let engine = json!({ "type": "kv", "options": { "version": "2" } });
        bao.root(Method::POST, &format!("{namespace}/sys/mounts/secret"), engine).await;
        let policy = json!({ "policy": least_privilege("secret") });
        bao.root(Method::PUT, &format!("{namespace}/sys/policies/acl/agentidp"), policy).await;
        let options = json!({ "policies": ["agentidp"], "period": "768h" });
        let token = bao.root(Method::POST, &format!("{namespace}/auth/token/create-orphan"), options).await;
        let token = token["auth"]["client_token"].as_str().unwrap().to_owned();
        at.push(VaultKv2::builder(bao.address(), token.as_str()).namespace(namespace));
    }
    let new = named(at.pop().unwrap());
    moves(at.pop().unwrap().build().unwrap(), new).await;
}

#[tokio::test]
async fn credentials_move_between_two_servers() {
    let (one, other) = (support::bao(), Bao::start_own().await);
    let (old, new) = (one.fresh_mount(2).await, other.fresh_mount(2).await);
    let old = VaultKv2::builder(one.address(), old.policy_token.as_str()).mount(&old.name).build().unwrap();
    moves(old, named(VaultKv2::builder(other.address(), new.policy_token.as_str()).mount(&new.name))).await;
}
