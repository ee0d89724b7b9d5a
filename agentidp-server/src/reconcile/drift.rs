//! What can differ, and what to do about it.

use std::fmt;

use crate::app::VaultPlace;
use crate::domain::Credential;

/// A kind of difference between the rows and Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DriftClass {
    /// Vault has something that no row vouches for and no job is about.
    PathWithoutRow,
    /// The row has a path, and Vault nothing there.
    RowWithoutPath,
    /// Vault has the path, and not the version that the row pins.
    VersionMissing,
    /// Vault has a later version than the row pins.
    VersionBehind,
    /// The pinned version was deleted and can be undeleted.
    SoftDeleted,
    /// The pinned version holds no client secret.
    Unreadable,
    /// The row points out of the configured mount and folder.
    Elsewhere,
    /// A name in our folder that this server gives to nothing.
    ForeignName,
}

impl DriftClass {
    /// Every kind, in the order in which they are counted.
    pub const ALL: [Self; 8] = [
        Self::PathWithoutRow,
        Self::RowWithoutPath,
        Self::VersionMissing,
        Self::VersionBehind,
        Self::SoftDeleted,
        Self::Unreadable,
        Self::Elsewhere,
        Self::ForeignName,
    ];

    /// The label's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PathWithoutRow => "path_without_row",
            Self::RowWithoutPath => "row_without_path",
            Self::VersionMissing => "version_missing",
            Self::VersionBehind => "version_behind",
            Self::SoftDeleted => "soft_deleted",
            Self::Unreadable => "unreadable",
            Self::Elsewhere => "elsewhere",
            Self::ForeignName => "foreign_name",
        }
    }

    /// Whether only an operator can fix it. The others do no harm.
    #[must_use]
    pub fn needs_operator(self) -> bool {
        !matches!(self, Self::VersionBehind)
    }
}

/// One difference. Its text is a line for an operator's terminal, the same whether it is mended or not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drift {
    /// Its kind.
    pub class: DriftClass,
    /// Whose it is, as Vault or the row has it.
    pub client_id: String,
    /// Which credential's; empty where a whole folder is meant.
    pub credential_id: String,
    /// What to type, where that can be said.
    command: Option<String>,
}

impl Drift {
    pub(super) fn of_row(class: DriftClass, row: &Credential, place: &VaultPlace) -> Self {
        let (client, credential) = (row.client_id, row.credential_id);
        let command = row.secret.vault_version.filter(|_| class == DriftClass::SoftDeleted).map(|version| {
            format!(
                "bao kv undelete -mount={} -versions={version} {}/agents/{client}/credentials/{credential}",
                place.mount, place.prefix
            )
        });
        Self { command, ..Self::named(class, &client.to_string(), &credential.to_string()) }
    }

    pub(super) fn named(class: DriftClass, client: &str, credential: &str) -> Self {
        Self { class, client_id: printable(client), credential_id: printable(credential), command: None }
    }

    /// What becomes of it, or what to do. Names no path, as the log does not.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self.class {
            DriftClass::PathWithoutRow => {
                "no row of this database vouches for it: find out whether another database does, and remove it with \
                 `agentidp-server reconcile --remove-paths` if none does"
            }
            DriftClass::RowWithoutPath => {
                "Vault has nothing there, and the secret is lost: rotate the credential, or revoke it"
            }
            DriftClass::VersionMissing => {
                "the version that the row pins is gone for good: rotate the credential, or revoke it"
            }
            DriftClass::VersionBehind => {
                "Vault has a later version, which counts for nothing, as a rotation leaves it whose commit never came: \
                 nothing needs to be done, the next rotation writes over it"
            }
            DriftClass::SoftDeleted => {
                "somebody deleted it in Vault: revoke the credential if that was meant, undelete its version if not"
            }
            DriftClass::Unreadable => "what Vault holds there is no client secret: rotate the credential, or revoke it",
            DriftClass::Elsewhere => {
                "the row points out of the configured mount and folder: correct VAULT_KV_MOUNT and VAULT_PREFIX, or rotate \
                 the credential, which moves it"
            }
            DriftClass::ForeignName => {
                "this server gives no such name: find out who wrote it, and delete it by hand if nobody needs it (`check` \
                 leaves one where it may not purge)"
            }
        }
    }
}

/// Names in Vault are anybody's: they must not write lines of their own.
fn printable(name: &str) -> String {
    name.escape_debug().to_string()
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, credential, client) = (self.class.as_str(), &self.credential_id, &self.client_id);
        write!(f, "{class}: credential {credential} of client {client}: {}", self.advice())?;
        match &self.command {
            Some(command) => write!(f, ": `{command}`"),
            None => Ok(()),
        }
    }
}

/// How many there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; DriftClass::ALL.len()]);

impl Counts {
    pub(super) fn add(&mut self, class: DriftClass) {
        for (known, count) in DriftClass::ALL.iter().zip(&mut self.0) {
            *count += u64::from(*known == class);
        }
    }

    /// Each kind and its number, those without any too.
    pub fn each(&self) -> impl Iterator<Item = (DriftClass, u64)> {
        DriftClass::ALL.into_iter().zip(self.0)
    }

    /// How many need an operator.
    #[must_use]
    pub fn for_operator(&self) -> u64 {
        self.each().filter(|(class, _)| class.needs_operator()).map(|(_, count)| count).sum()
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_by_kind_and_say_what_needs_somebody() {
        let mut counts = Counts::default();
        for class in DriftClass::ALL {
            counts.add(class);
        }
        counts.add(DriftClass::VersionBehind);
        assert_eq!((counts.total(), counts.for_operator()), (9, 7));
        let behind = counts.each().find(|(class, _)| *class == DriftClass::VersionBehind);
        assert_eq!(behind, Some((DriftClass::VersionBehind, 2)));
    }

    #[test]
    fn a_name_in_vault_writes_no_line_of_its_own() {
        let line = Drift::named(DriftClass::ForeignName, "a\nforged", "\u{1b}[2J").to_string();
        assert!(!line.contains(['\n', '\u{1b}']), "{line}");
    }
}
