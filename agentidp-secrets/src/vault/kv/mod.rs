//! The port below [`VaultKv2`](crate::vault::VaultKv2): the calls that it makes, so that tests can stand in for Vault.

pub(crate) mod answer;
mod client;

use std::fmt;

use async_trait::async_trait;

use crate::secret::ClientSecret;
use crate::vault::failure::Failure;
use crate::vault::path::{VaultPath, Written};

pub(crate) use self::client::VaultrsKv;

/// KV version 2, as far as credentials need it. The least-privilege policy allows exactly these calls.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub(crate) trait KvV2: fmt::Debug + Send + Sync + 'static {
    /// Reads a version, or the latest. The version that `path` itself carries is not looked at.
    async fn read(&self, path: &VaultPath, version: Option<u64>) -> Result<KvEntry, Failure>;

    /// Reads the latest version from the active node, which is never behind. The version that `path` itself carries is not
    /// looked at.
    async fn latest(&self, path: &VaultPath) -> Result<KvEntry, Failure>;

    /// Writes a new version if the latest one is `cas` (0: if there is none), and returns the new version.
    async fn write(&self, path: &VaultPath, value: &ClientSecret, cas: u64) -> Result<Written, Failure>;

    /// Writes a version without a secret, as [`write`](Self::write) does.
    async fn write_blank(&self, path: &VaultPath, cas: u64) -> Result<Written, Failure>;

    /// Deletes every version for good. Idempotent.
    async fn purge(&self, path: &VaultPath) -> Result<(), Failure>;
}

/// A version that Vault knows of.
#[derive(Debug)]
pub(crate) struct KvEntry {
    /// Its number, 1 or more, and when it was written.
    pub(crate) written: Written,
    /// What it holds.
    pub(crate) value: KvValue,
}

/// What a version holds.
#[derive(Debug)]
pub(crate) enum KvValue {
    /// A client secret, not empty.
    Secret(ClientSecret),
    /// Nothing for now: it was deleted, and can be undeleted.
    Deleted,
    /// Nothing any more; its number is still taken.
    Destroyed,
    /// Something that this crate did not write.
    Unreadable,
}
