//! Logins that upgrade, and an administrator who rotates, at the same time.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use tokio::task::JoinSet;

use super::account::{Account, Caller, Row, Shop};
use crate::secret::ClientSecret;
use crate::store::Verified;
use crate::testkit::conformance::fixture::{holds, proved};
use crate::testkit::harness::Harness;

const ACCOUNTS: usize = 100;
/// At the same time.
const WIDTH: usize = 8;

/// Both logins have written before either commits. Cannot claim that they do so at the same instant.
pub(crate) async fn upgrades_at_once_lock_no_client_out(harness: &dyn Harness, caller: Caller) {
    every_account(harness, caller, move |scene| async move {
        let Scene { shop, account, .. } = &scene;
        let presented = account.shown();
        let (before, proof) = scene.login(&presented).await;
        let upgrade = || account.upgrade(shop, &before, &proof, &presented);
        let (one, other) = join(upgrade(), upgrade()).await;
        let order = if scene.is_even() { [one, other] } else { [other, one] };
        for upgraded in order {
            account.commit_upgrade(shop, caller, &before, upgraded).await;
        }
        let moved = *account.read().secrets().current.backend() == shop.store.primary().id;
        holds(moved, "`upgrade`: a row in an older form has the new record after two logins");
        scene.stands().await
    })
    .await;
}

/// Both have written before either commits, in both orders. Cannot claim that they do so at the same instant.
pub(crate) async fn an_upgrade_beside_a_rotation_locks_no_client_out(harness: &dyn Harness, caller: Caller) {
    every_account(harness, caller, move |scene| async move {
        let Scene { shop, account, .. } = &scene;
        let presented = account.shown();
        let (before, proof) = scene.login(&presented).await;
        let upgrade = account.upgrade(shop, &before, &proof, &presented);
        let rotation = account.write(shop, caller, &before, Duration::ZERO);
        let (upgraded, rotated) = join(upgrade, rotation).await;
        if scene.is_even() {
            account.commit_upgrade(shop, caller, &before, upgraded.clone()).await;
        }
        let mut shown = None;
        if let Ok(rotated) = rotated {
            shown = account.commit_rotation(shop, caller, &before, rotated).await;
        }
        if !scene.is_even() {
            account.commit_upgrade(shop, caller, &before, upgraded).await;
        }
        if shown.is_none() {
            shown = account.rotate(shop, caller, Duration::ZERO).await;
        }
        scene.has_replaced(&presented, shown.as_ref()).await;
        scene.stands().await
    })
    .await;
}

/// The first login commits after the rotation, and the second one also writes after it. Cannot claim more than one rotation
/// in between.
pub(crate) async fn a_rotation_between_two_logins_locks_no_client_out(harness: &dyn Harness, caller: Caller) {
    every_account(harness, caller, move |scene| async move {
        let Scene { shop, account, .. } = &scene;
        let presented = account.shown();
        let (before, proof) = scene.login(&presented).await;
        let first = account.upgrade(shop, &before, &proof, &presented).await;
        let shown = account.rotate(shop, caller, Duration::ZERO).await;
        account.commit_upgrade(shop, caller, &before, first).await;
        let second = account.upgrade(shop, &before, &proof, &presented).await;
        account.commit_upgrade(shop, caller, &before, second).await;
        scene.has_replaced(&presented, shown.as_ref()).await;
        scene.stands().await
    })
    .await;
}

/// One account, and who plays with it.
struct Scene {
    shop: Arc<Shop>,
    account: Account,
    caller: Caller,
    index: usize,
}

/// Plays with every account, several at a time, and counts those whose owners are locked out.
async fn every_account<F>(harness: &dyn Harness, caller: Caller, play: impl Fn(Scene) -> F)
where
    F: Future<Output = bool> + Send + 'static,
{
    let shop = Arc::new(Shop::over(harness).await);
    let (mut scenes, mut locked_out) = (JoinSet::new(), 0);
    for index in 0..ACCOUNTS {
        let account = shop.older_account(harness);
        scenes.spawn(play(Scene { shop: Arc::clone(&shop), account, caller, index }));
        if scenes.len() == WIDTH {
            locked_out += locked_out_in(&mut scenes).await;
        }
    }
    while !scenes.is_empty() {
        locked_out += locked_out_in(&mut scenes).await;
    }
    holds(
        locked_out == 0,
        &format!("the secret that was shown last keeps working: {locked_out} of {ACCOUNTS} clients are locked out"),
    );
}

async fn locked_out_in(scenes: &mut JoinSet<bool>) -> usize {
    match scenes.join_next().await {
        Some(Ok(stands)) => usize::from(!stands),
        // The check fails by the clause that the account's task has named.
        Some(Err(failed)) => std::panic::resume_unwind(failed.into_panic()),
        None => 0,
    }
}

impl Scene {
    fn is_even(&self) -> bool {
        self.index % 2 == 0
    }

    async fn login(&self, presented: &ClientSecret) -> (Row, Verified) {
        let before = self.account.read();
        let proof = self.account.prove(&self.shop, presented).await;
        (before, proved("verify", proof))
    }

    /// Whether the secret that was shown last works. One account of ten is rotated once more.
    async fn stands(&self) -> bool {
        if !self.account.works(&self.shop).await {
            return false;
        }
        if self.index % 10 != 0 {
            return true;
        }
        let rotated = self.account.rotate(&self.shop, self.caller, Duration::ZERO).await;
        holds(rotated.is_some(), "`rotate`: the next rotation works");
        self.account.works(&self.shop).await
    }

    /// The rotation was acknowledged, and the secret that a client presented was not handed out as the new one.
    async fn has_replaced(&self, presented: &ClientSecret, shown: Option<&ClientSecret>) {
        let Some(shown) = shown else { return holds(false, "`rotate`: a rotation beside an upgrade is carried out") };
        holds(!shown.ct_eq(presented), "`rotate`: a secret that a client presented is never shown as a new one");
        let admitted = self.account.prove(&self.shop, presented).await.is_ok();
        holds(!admitted, "`rotate`: without a grace the secret from before is at an end");
    }
}
