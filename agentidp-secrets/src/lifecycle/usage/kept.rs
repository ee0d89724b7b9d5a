//! Uses of a lifecycle whose ledger keeps them.

use std::time::SystemTime;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::ledger::UsageLedger;
use super::noted::Noted;
use super::record::{Usage, Use};
use crate::credential::CredentialKey;
use crate::lifecycle::ledger::Ledger;

/// A [`UsageLedger`] for a lifecycle, which takes any [`Ledger`].
#[async_trait]
pub(crate) trait Keeper<L: Ledger>: Send + Sync {
    async fn note_uses(&self, ledger: &L, uses: &[Use]) -> Result<(), L::Error>;
    async fn rotate(&self, ledger: &L, tx: &mut L::Tx, key: &CredentialKey, now: SystemTime) -> Result<(), L::Error>;
    async fn usages(&self, ledger: &L, keys: &[CredentialKey]) -> Result<Vec<Usage>, L::Error>;
    async fn created(&self, ledger: &L, keys: &[CredentialKey]) -> Result<Vec<Option<SystemTime>>, L::Error>;
}

pub(super) struct Direct;

#[async_trait]
impl<L: UsageLedger> Keeper<L> for Direct {
    async fn note_uses(&self, ledger: &L, uses: &[Use]) -> Result<(), L::Error> {
        ledger.note_uses(uses).await
    }

    async fn rotate(&self, ledger: &L, tx: &mut L::Tx, key: &CredentialKey, now: SystemTime) -> Result<(), L::Error> {
        ledger.rotate_usage(tx, key, now).await
    }

    async fn usages(&self, ledger: &L, keys: &[CredentialKey]) -> Result<Vec<Usage>, L::Error> {
        ledger.usages(keys).await
    }

    async fn created(&self, ledger: &L, keys: &[CredentialKey]) -> Result<Vec<Option<SystemTime>>, L::Error> {
        ledger.created(keys).await
    }
}

/// What a lifecycle has that keeps usage.
pub(crate) struct Kept<L> {
    pub(super) noted: Noted,
    pub(super) keeper: Box<dyn Keeper<L>>,
    /// One writes at a time, so that what it has begun is written when it says so.
    pub(super) writer: Mutex<()>,
}

impl<L: Ledger> Kept<L> {
    pub(super) fn by(keeper: impl Keeper<L> + 'static) -> Self {
        Self { noted: Noted::default(), keeper: Box::new(keeper), writer: Mutex::default() }
    }
}
