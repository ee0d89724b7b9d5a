//! What is remembered of one candidate, for several records of a client.

use super::answer::Verdict;
use crate::credential::CredentialKey;
use crate::record::StoredSecret;

/// What a backend remembers, opened for one candidate of one client by [`SecretBackend::recall_for`](crate::SecretBackend::recall_for).
///
/// Work that depends on the candidate alone is done once, however many records are looked at.
pub trait Recall: Send {
    /// Says what [`SecretBackend::recall`](crate::SecretBackend::recall) says of this record and the candidate. For another client's key too.
    fn recall(&mut self, key: &CredentialKey, stored: &StoredSecret) -> Option<Verdict>;
}
