//! The database and the mounts at one moment.

use std::collections::{BTreeMap, BTreeSet};

use super::kv::Kv;
use super::seen::{MOUNTS, Meaning};
use crate::credential::{ClientId, CredentialKey};
use crate::lifecycle::MemoryLedger;

/// What a restore takes from.
#[derive(Clone)]
pub(super) struct Backup {
    pub(super) ledger: MemoryLedger,
    pub(super) mounts: [Kv; MOUNTS],
    pub(super) meanings: BTreeMap<CredentialKey, Meaning>,
    pub(super) suspended: BTreeSet<ClientId>,
}
