//! What backends remember of one candidate.

use crate::backend::{Recall, SharedBackend, Verdict};
use crate::credential::CredentialKey;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

/// The memory of each backend, opened for the candidate when the first of its records comes up.
pub(super) struct Memories<'a> {
    candidate: &'a ClientSecret,
    opened: Vec<(&'a SharedBackend, Box<dyn Recall + 'a>)>,
}

impl<'a> Memories<'a> {
    pub(super) fn new(candidate: &'a ClientSecret) -> Self {
        Self { candidate, opened: Vec::new() }
    }

    pub(super) fn candidate(&self) -> &'a ClientSecret {
        self.candidate
    }

    pub(super) fn recall(
        &mut self,
        backend: &'a SharedBackend,
        key: &'a CredentialKey,
        stored: &StoredSecret,
    ) -> Option<Verdict> {
        let at = self.opened.iter().position(|(opened, _)| std::ptr::eq(*opened, backend)).unwrap_or_else(|| {
            self.opened.push((backend, backend.recall_for(key.client_id(), self.candidate)));
            self.opened.len() - 1
        });
        self.opened[at].1.recall(key, stored)
    }
}
