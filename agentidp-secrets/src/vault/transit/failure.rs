//! What the transit engine can answer, and what that means to callers.

use super::site::{TransitSite, Verb};
use crate::error::{Error, ErrorKind};
use crate::vault::failure::{Failure, denied};
use crate::vault::setting::Setting;

/// Why a call gave no result. Holds no body, so that no `Debug` can show one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransitFailure {
    /// The policy does not grant the right.
    Denied(Verb),
    /// There is no such key.
    NoKey,
    /// The mount is one of another engine.
    OtherEngine,
    /// The key has no such version yet.
    TooNew(u64),
    /// The version is below `min_decryption_version`, or was trimmed.
    TooOld(u64),
    /// What any engine may answer.
    Vault(Failure),
}

impl TransitFailure {
    /// The error of this failure, told in terms of the mount and key in use.
    pub(super) fn at(self, site: &TransitSite) -> Error {
        let TransitSite { address, mount, key, names } = site;
        let message = match self {
            Self::Vault(failure) => return failure.on(address, mount, *names),
            Self::Denied(verb) => return denied("update", &site.path(verb)),
            Self::NoKey => format!(
                "the transit engine at `{mount}` has no key `{key}`: run `bao write -f {mount}/keys/{key} type=hmac key_size=32`, or \
                 correct the key of `VaultTransit::builder`. If records were made under it, restore it from a backup instead"
            ),
            Self::OtherEngine => {
                format!("the mount `{mount}` in Vault is no transit engine: look at {}", names.of(Setting::Mount))
            }
            Self::TooNew(version) => format!(
                "the key `{key}` has no version {version}, which made the record: this is another Vault, look at {}, or one restored from an \
                 older backup; else rotate the credential",
                names.of(Setting::Address)
            ),
            Self::TooOld(version) => format!(
                "version {version} of the key `{key}`, which made the record, is below its min_decryption_version: run `bao write \
                 {mount}/keys/{key}/config min_decryption_version={version}`, or rotate the credential"
            ),
        };
        Error::new(ErrorKind::InvalidConfig, message)
    }
}

impl From<Failure> for TransitFailure {
    fn from(failure: Failure) -> Self {
        Self::Vault(failure)
    }
}
