//! The conformance suite over every backend and every layer, and the store's over every backend that can be primary.
//!
//! Digests run at their minimum cost: what is checked does not depend on it.

use std::sync::Arc;
use std::time::Duration;

use agentidp_secrets::backends::{Argon2id, Bcrypt, Instance, KeyedDigest, Memory, Sealed};
use agentidp_secrets::layers::{
    BreakerLayer, Event, LimitLayer, ObserveLayer, Observer, RetryLayer, TimeoutLayer, WarmLayer,
};
use agentidp_secrets::testkit::{BackendHarness, Fault, FaultLayer};
use agentidp_secrets::vault::VaultKv2;
use agentidp_secrets::vault::transit::VaultTransit;
use agentidp_secrets::{
    ErrorKind, Layer, MacKeys, SecretBackend, SharedBackend, StoredSecret, conformance, stack, store_conformance,
};

use crate::support;
use crate::support::bao::transit::TransitMount;

conformance!(memory, BackendHarness::new(Memory::new()));
conformance!(behind_arc_dyn, BackendHarness::new(Arc::new(Memory::new()) as SharedBackend));
conformance!(bcrypt, over_bcrypt(&[]));
conformance!(argon2id, over_argon2id());
conformance!(keyed_digest, over_keyed_digest(&[]));
conformance!(sealed, over_sealed());
conformance!(vault, over_vault(&[]).await);
conformance!(instance_of_memory, over_instance(Memory::new(), Memory::new()));
conformance!(instance_of_keyed_digest, BackendHarness::new(Instance::new("eu", a_keyed_digest()).unwrap()));
conformance!(instance_of_vault, over_vault_named(Some("eu"), &[]).await);
conformance!(vault_of_others, over_vault_of_others().await);
conformance!(transit, over_transit(&[]).await);
conformance!(instance_of_transit, over_transit_named("eu").await);

conformance!(timeout_layer, over_memory(&[&timeout()]));
conformance!(limit_layer, over_memory(&[&LimitLayer::new(4)]));
conformance!(retry_layer, over_memory(&[&retry()]));
conformance!(breaker_layer, over_memory(&[&BreakerLayer::default()]));
conformance!(open_breaker_layer, over_memory(&[&BreakerLayer::new(1)]));
conformance!(observe_layer, over_memory(&[&observe()]));
conformance!(warm_layer, over_memory(&[&warm()]));
conformance!(warm_layer_over_bcrypt, over_bcrypt(&[&warm()]));
conformance!(warm_layer_over_keyed_digest, over_keyed_digest(&[&warm()]));
conformance!(fault_layer_without_faults, over_memory(&[&FaultLayer::new()]));
conformance!(
    all_layers_over_memory,
    over_memory(&[&LimitLayer::new(4), &retry(), &timeout(), &BreakerLayer::default(), &warm(), &observe()])
);
conformance!(all_layers_over_bcrypt, over_bcrypt(&[&warm(), &observe()]));
conformance!(
    all_layers_over_vault,
    over_vault(&[&LimitLayer::new(4), &retry(), &timeout(), &BreakerLayer::default(), &warm(), &observe()]).await
);

conformance!(
    all_layers_over_transit,
    over_transit(&[&LimitLayer::new(4), &retry(), &timeout(), &BreakerLayer::default(), &warm(), &observe()]).await
);

store_conformance!(store_over_memory, over_memory(&[]));
store_conformance!(store_over_bcrypt, over_bcrypt(&[]));
store_conformance!(store_over_argon2id, over_argon2id());
store_conformance!(store_over_keyed_digest, over_keyed_digest(&[]));
store_conformance!(store_over_sealed, over_sealed());
store_conformance!(store_over_vault, over_vault(&[]).await);
store_conformance!(store_over_instance_of_memory, over_instance(Memory::new(), Memory::new()));
store_conformance!(store_over_instance_of_vault, over_vault_named(Some("eu"), &[]).await);
store_conformance!(store_over_vault_of_others, over_vault_of_others().await);
store_conformance!(store_over_transit, over_transit(&[]).await);
store_conformance!(store_over_warm_memory, over_memory(&[&warm()]));
store_conformance!(
    store_over_all_layers_over_vault,
    over_vault(&[&LimitLayer::new(4), &retry(), &timeout(), &BreakerLayer::default(), &warm(), &observe()]).await
);

/// On the real server, in a mount of its own, with a token that may do what the guide says and no more.
async fn over_vault(layers: &[&dyn Layer]) -> BackendHarness {
    over_vault_named(None, layers).await
}

async fn over_vault_named(instance: Option<&str>, layers: &[&dyn Layer]) -> BackendHarness {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let at = |address: &str| {
        let builder = VaultKv2::builder(address, mount.policy_token.as_str()).mount(mount.name.as_str());
        match instance {
            Some(name) => builder.instance(name).build().unwrap(),
            None => builder.build().unwrap(),
        }
    };
    // Nothing listens on port 1 of the loopback interface.
    harness(at(bao.address()), at("http://127.0.0.1:1"), layers).with_unpinned(bare)
}

/// Where other software has its entries: another path and another member, with other members kept.
async fn over_vault_of_others() -> BackendHarness {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let at = |address: &str| {
        let builder = VaultKv2::builder(address, mount.policy_token.as_str()).mount(mount.name.as_str());
        builder.layout("app-{client}/keys/{credential}").member("value").keep_other_members(true).build().unwrap()
    };
    harness(at(bao.address()), at("http://127.0.0.1:1"), &[]).with_unpinned(bare)
}

/// Under the name of an instance.
async fn over_transit_named(name: &str) -> BackendHarness {
    let bao = support::bao();
    let mount = bao.fresh_transit().await;
    let at = |address: &str| {
        let builder = VaultTransit::builder(address, mount.policy_token.as_str(), TransitMount::KEY);
        Instance::new(name, builder.mount(mount.name.as_str()).build().unwrap()).unwrap()
    };
    harness(at(bao.address()), at("http://127.0.0.1:1"), &[])
}

/// On the real server, with a key of its own and a token that may do what the guide says and no more.
async fn over_transit(layers: &[&dyn Layer]) -> BackendHarness {
    let bao = support::bao();
    let mount = bao.fresh_transit().await;
    let at = |address: &str| {
        let builder = VaultTransit::builder(address, mount.policy_token.as_str(), TransitMount::KEY);
        builder.mount(mount.name.as_str()).build().unwrap()
    };
    harness(at(bao.address()), at("http://127.0.0.1:1"), layers)
}

/// The path as an older system's row holds it.
fn bare(stored: &StoredSecret) -> StoredSecret {
    let (path, _version) = stored.payload().split_once('?').unwrap();
    StoredSecret::new(stored.backend().clone(), path)
}

fn over_memory(layers: &[&dyn Layer]) -> BackendHarness {
    let outage = FaultLayer::new();
    outage.on_everything(Fault::Fail(ErrorKind::Unavailable));
    harness(Memory::new(), stack(Memory::new(), &[&outage]), layers)
}

/// There is nothing to reach.
fn over_bcrypt(layers: &[&dyn Layer]) -> BackendHarness {
    BackendHarness::new(stack(Bcrypt::builder().minimum_cost_for_tests().build().unwrap(), layers))
}

/// Nor here.
fn over_argon2id() -> BackendHarness {
    BackendHarness::new(Argon2id::builder().minimum_cost_for_tests().build().unwrap())
}

/// Nor here.
fn over_keyed_digest(layers: &[&dyn Layer]) -> BackendHarness {
    BackendHarness::new(stack(a_keyed_digest(), layers))
}

fn a_keyed_digest() -> KeyedDigest {
    let keys = MacKeys::parse("k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92").unwrap();
    KeyedDigest::new(keys)
}

/// Under the name of an instance, with layers within.
fn over_instance(backend: impl SecretBackend, unreachable: impl SecretBackend) -> BackendHarness {
    let outage = FaultLayer::new();
    outage.on_everything(Fault::Fail(ErrorKind::Unavailable));
    let named = |backend: SharedBackend| Instance::new("eu", backend).unwrap();
    let harness = BackendHarness::new(named(stack(backend, &[&warm()])));
    harness.with_unreachable(named(stack(unreachable, &[&outage])))
}

/// Nor here.
fn over_sealed() -> BackendHarness {
    let keys = MacKeys::parse("k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92").unwrap();
    BackendHarness::new(Sealed::new(keys))
}

fn harness(backend: impl SecretBackend, unreachable: impl SecretBackend, layers: &[&dyn Layer]) -> BackendHarness {
    BackendHarness::new(stack(backend, layers)).with_unreachable(stack(unreachable, layers))
}

/// Longer than any call of the suite takes on a busy machine.
fn timeout() -> TimeoutLayer {
    TimeoutLayer::new(Duration::from_secs(60))
}

fn retry() -> RetryLayer {
    RetryLayer::new(2).pauses(Duration::ZERO, Duration::ZERO)
}

fn warm() -> WarmLayer {
    WarmLayer::builder().build().unwrap()
}

fn observe() -> ObserveLayer {
    ObserveLayer::new(Arc::new(Nobody))
}

#[derive(Debug)]
struct Nobody;

impl Observer for Nobody {
    fn record(&self, _event: &Event) {}
}
