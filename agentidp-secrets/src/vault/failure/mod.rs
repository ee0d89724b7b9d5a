//! What Vault can do to us, and what that means to callers: the one place where Vault's answers become [`Error`]s.

use std::sync::Arc;

use super::auth_kind::AuthKind;
use super::cause::Cause;
use super::path::Folder;
use super::rights::Right;
use super::setting::{Names, Setting, UnreadableFile};
use crate::error::{Error, ErrorKind};

/// Why a call to Vault gave no result. Holds no body, path or token, so that no `Debug` can show one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The file that this setting names holds no usable text.
    BadFile(Setting),
    /// The compare-and-set was lost.
    Conflict,
    /// The version is deleted or destroyed.
    Deleted,
    /// The policy does not grant the right.
    Denied(Right),
    /// A 5xx that says nothing about whether the request was carried out.
    Failed(u16),
    /// An answer that Vault does not give, from a proxy perhaps, with this status.
    Foreign(u16),
    /// The request was sent and the answer did not come, or not whole.
    Lost(Cause),
    /// A login was refused.
    LoginRefused(AuthKind),
    /// The policies of the token do not let it look itself up or renew itself.
    MayNotRenew,
    /// No such path or version.
    Missing,
    /// The namespace is unknown.
    NoNamespace,
    /// Nothing is mounted there, or nothing that the token may know of.
    NoRoute,
    /// An undecided write of which no trace was found.
    NotApplied,
    /// The token is of a kind that cannot be renewed.
    NotRenewable,
    /// The request never reached Vault.
    NotSent(Cause),
    /// The mount is KV version 1.
    NotVersioned,
    /// Another version than the one asked for.
    OtherVersion,
    /// The wrapping, whose token this setting gave, holds something else than a secret id of the login.
    OtherWrapping(Setting),
    /// The token has reached the longest life that it may have.
    PastLongestLife,
    /// A quota was used up.
    Quota,
    /// A redirect, which is never followed: a standby's 307 names a leader that may be dead.
    Redirected,
    /// A request that Vault refuses as such, with this status.
    Rejected(u16),
    /// Vault is sealed.
    Sealed,
    /// The wrapping, whose token this setting gave, was opened before or has expired.
    SpentWrapping(Setting),
    /// A standby that has not caught up.
    StaleStandby,
    /// A node that neither is active nor reaches the active one.
    Standby,
    /// The token is expired, revoked or unknown.
    TokenDead,
    /// The value or the path is too large for Vault's storage.
    TooLarge,
    /// The version does not hold a client secret.
    Unreadable,
    /// The mount is being upgraded to version 2.
    Upgrading,
}

impl Failure {
    /// Whether a write that met this may have been carried out all the same. A redirect says that it was not.
    pub(crate) fn leaves_a_write_undecided(self) -> bool {
        matches!(self, Self::Failed(_) | Self::Foreign(_) | Self::Lost(_))
    }

    /// Whether only somebody's doing can mend it, so that there is no hurry in trying again.
    pub(crate) fn waits_for_somebody(self) -> bool {
        matches!(
            self,
            Self::LoginRefused(_)
                | Self::MayNotRenew
                | Self::NotRenewable
                | Self::OtherWrapping(_)
                | Self::PastLongestLife
                | Self::SpentWrapping(_)
                | Self::TokenDead
        )
    }

    /// The error of this failure, told in terms of the address and folder in use.
    pub(crate) fn at(self, site: &Site) -> Error {
        match self {
            Self::Denied(right) => {
                let (capability, pattern) = (right.capability(), right.pattern(&site.folder));
                denied(capability, &pattern)
            }
            Self::Unreadable => {
                let message = format!(
                    "the version in Vault has no text in its member `{}`: somebody else wrote it; rotate the credential",
                    site.member
                );
                Error::new(ErrorKind::Malformed, message)
            }
            _ => self.on(&site.address, site.folder.mount(), site.names),
        }
    }

    /// The same on a mount of any engine.
    pub(crate) fn on(self, address: &str, mount: &str, names: Names) -> Error {
        let (kind, message) = match self {
            Self::BadFile(setting) => (
                ErrorKind::InvalidConfig,
                format!(
                    "the file that {} names cannot be read, is empty or holds no text: look at its writer",
                    names.of(setting)
                ),
            ),
            Self::Conflict => (
                ErrorKind::Conflict,
                "Vault holds another version than the record's: somebody stored or rotated first; read the row again"
                    .to_owned(),
            ),
            Self::Deleted => (
                ErrorKind::NotFound,
                "the version is deleted in Vault: undelete it if it was not destroyed, or rotate the credential"
                    .to_owned(),
            ),
            Self::Denied(right) => return denied(right.capability(), &format!("{mount}/*")),
            Self::Failed(status) => (
                ErrorKind::Unavailable,
                format!("Vault at {address} failed with status {status}: look at its log and its storage"),
            ),
            Self::Foreign(status) => (
                ErrorKind::Unavailable,
                format!(
                    "{address} gave an answer with status {status} that is not Vault's: is a proxy in between, is {} right, \
                     and https where Vault speaks TLS?",
                    names.of(Setting::Address)
                ),
            ),
            Self::Lost(cause) => (ErrorKind::Unavailable, cause.told(address, names)),
            Self::LoginRefused(kind) => {
                (ErrorKind::Denied, format!("Vault at {address} refuses the {kind}: look at {}", kind.settings(names)))
            }
            Self::MayNotRenew => (
                ErrorKind::Denied,
                "the Vault token may not look itself up or renew itself: make one with the default policy, or grant it \
                 `read` on `auth/token/lookup-self` and `update` on `auth/token/renew-self`"
                    .to_owned(),
            ),
            Self::Missing => (
                ErrorKind::NotFound,
                "Vault holds nothing at the record's path and version: it was deleted for good, or pruned by \
                 max_versions; rotate the credential"
                    .to_owned(),
            ),
            Self::NoNamespace => (
                ErrorKind::InvalidConfig,
                format!("Vault at {address} does not know the namespace: look at {}", names.of(Setting::Namespace)),
            ),
            Self::NoRoute => (
                ErrorKind::InvalidConfig,
                format!(
                    "nothing is mounted at `{mount}` in Vault, or the token has no right below it: look at {} and at the \
                     token's policy",
                    names.of(Setting::Mount)
                ),
            ),
            Self::NotApplied => (
                ErrorKind::Unavailable,
                format!("no whole answer to a write came from Vault at {address}, and it left no trace: try again"),
            ),
            Self::NotRenewable => (
                ErrorKind::Denied,
                format!(
                    "the Vault token cannot be renewed: make one with `-period`, or set up a login by {}",
                    names.of(Setting::Auth)
                ),
            ),
            Self::NotSent(cause) => (ErrorKind::Unavailable, cause.told(address, names)),
            Self::NotVersioned => (
                ErrorKind::InvalidConfig,
                format!(
                    "the mount `{mount}` is KV version 1, where nothing is versioned or deleted for good: run \
                     `bao kv enable-versioning {mount}`, or set {} to a mount of version 2",
                    names.of(Setting::Mount)
                ),
            ),
            Self::OtherVersion => (
                ErrorKind::Unavailable,
                format!("{address} gave another version than the one asked for: is a proxy caching its answers?"),
            ),
            Self::OtherWrapping(setting) => (
                ErrorKind::Denied,
                format!(
                    "the wrapping in {} holds something else than a secret id of the login at {}: somebody may have replaced it; \
                     find out who, and make another one with `-wrap-ttl`",
                    names.of(setting),
                    names.of(Setting::AuthMount)
                ),
            ),
            Self::PastLongestLife => (
                ErrorKind::Denied,
                format!(
                    "the Vault token has reached the longest life that it may have: make one with `-period`, or set up a \
                     login by {}",
                    names.of(Setting::Auth)
                ),
            ),
            Self::Quota => {
                (ErrorKind::Throttled, "a rate limit quota of Vault is used up: raise it, or ask less often".to_owned())
            }
            Self::Redirected => (
                ErrorKind::Unavailable,
                format!(
                    "{address} gave a redirect, which is never followed: a standby without its leader, or {} is not the \
                     server's own address",
                    names.of(Setting::Address)
                ),
            ),
            Self::Rejected(status) => (
                ErrorKind::Internal,
                format!("Vault refused the request as such with status {status}: please report it"),
            ),
            Self::Sealed => (ErrorKind::Unavailable, format!("Vault at {address} is sealed: unseal it")),
            Self::SpentWrapping(setting) => (
                ErrorKind::Denied,
                format!(
                    "the wrapping in {} was opened before or has expired: unless an earlier start of this program opened it, \
                     somebody else has the secret id; make another one with `-wrap-ttl`",
                    names.of(setting)
                ),
            ),
            Self::StaleStandby => (
                ErrorKind::Unavailable,
                format!("{address} is a standby that has not caught up with its leader: try again"),
            ),
            Self::Standby => (
                ErrorKind::Unavailable,
                format!("{address} is a standby without an active node: wait for the election, or look at the cluster"),
            ),
            Self::TokenDead => (
                ErrorKind::Denied,
                format!(
                    "the Vault token is dead (expired, revoked or unknown): renew or replace {}",
                    names.of(Setting::Token)
                ),
            ),
            Self::TooLarge => (ErrorKind::InvalidSecret, "the secret is too large for Vault's storage".to_owned()),
            Self::Unreadable => (
                ErrorKind::Malformed,
                "the version in Vault does not hold a client secret: somebody else wrote it; rotate the credential"
                    .to_owned(),
            ),
            Self::Upgrading => {
                (ErrorKind::Unavailable, format!("the mount `{mount}` is being upgraded to KV version 2: try again"))
            }
        };
        let error = Error::new(kind, message);
        match self {
            Self::BadFile(setting) => error.with_source(UnreadableFile::of(setting)),
            _ => error,
        }
    }
}

/// A right that the token lacks.
pub(crate) fn denied(capability: &str, path: &str) -> Error {
    let message = format!("the policy of the Vault token must allow `{capability}` on `{path}`");
    Error::new(ErrorKind::Denied, message)
}

/// Which Vault, and where in it: what error texts may name.
#[derive(Debug)]
pub(crate) struct Site {
    /// Scheme, host, port and path; of each node.
    pub(crate) address: String,
    pub(crate) folder: Folder,
    /// The member of an entry that holds the secret.
    pub(crate) member: Arc<str>,
    /// What the program calls its settings.
    pub(crate) names: Names,
}

#[cfg(test)]
mod tests;
