//! What an older system has left.

use super::kv::Change;
use super::seen::MOUNTS;
use super::world::World;
use crate::credential::CredentialKey;
use crate::error::Result;
use crate::lifecycle::Row;
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

impl World {
    /// What an older system may have left of a credential: nothing, a bare path, a pinned version, or a digest.
    pub(super) fn import(&mut self, key: &CredentialKey) -> Result<()> {
        match self.chance.below(6) {
            0..=2 => Ok(()),
            3 => self.import_a_digest(key),
            form => {
                let (mount, older) = (self.chance.below(MOUNTS), self.chance.below(3));
                self.import_a_version(key, mount, older, form == 5)
            }
        }
    }

    pub(super) fn import_a_digest(&mut self, key: &CredentialKey) -> Result<()> {
        let secret = ClientSecret::generate()?;
        let stored = self.digest(&secret);
        self.ledger.put(Row::new(key.clone(), Some(stored.into()), None));
        Ok(())
    }

    /// A secret at a mount, on top of so many older ones.
    pub(super) fn import_a_version(
        &mut self,
        key: &CredentialKey,
        mount: usize,
        older: usize,
        is_pinned: bool,
    ) -> Result<()> {
        for _ in 0..older {
            let older = ClientSecret::generate()?;
            self.oracle.presented(&older);
            self.next_version(mount, key, older);
        }
        let version = self.next_version(mount, key, ClientSecret::generate()?);
        let pin = if is_pinned { format!("?version={version}") } else { String::new() };
        let stored = StoredSecret::parse(&format!("{{mount-{mount}}}{key}{pin}"))?;
        self.ledger.put(Row::new(key.clone(), Some(stored.into()), None));
        Ok(())
    }

    pub(super) fn next_version(&mut self, mount: usize, key: &CredentialKey, secret: ClientSecret) -> u64 {
        let cas = self.mounts[mount].latest(key);
        self.mounts[mount].apply(key, &Change::Write { cas, secret: Some(secret) }).unwrap_or(0)
    }
}
