//! What can differ, and what it means.

use std::fmt;

use crate::credential::CredentialKey;
use crate::lifecycle::revision::Revision;
use crate::lifecycle::rows::Row;
use crate::record::BackendId;

/// Declares the kinds: the word, and what an operator is told.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $word:literal: $advice:literal;)*) => {
        /// A kind of difference between the rows and a backend.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum DifferenceKind {
            $($(#[$doc])* $kind,)*
        }

        impl DifferenceKind {
            /// Every kind, in the order in which they are counted.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The kind as a word, for metrics.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)*
                }
            }

            /// What it means, and what to do. Names no place, so that a log may have it.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self {
                    $(Self::$kind => $advice,)*
                }
            }
        }
    };
}

kinds! {
    /// The backend has something that no row vouches for and nothing that is noted is about.
    PathWithoutRow "path_without_row":
        "no row of this database vouches for it: find out whether another database does";
    /// The backend has something of a credential that has ended here.
    PathOfEnded "path_of_ended":
        "the credential has ended, and the backend has its secret again, from a backup perhaps: it is deleted as soon as this \
         database agrees with its folder";
    /// The backend has a secret of an active credential at a place that its row does not point to.
    PathNotPointedTo "path_not_pointed_to":
        "the credential is active, and its row does not point there: nothing needs to be done, unless the database was \
         restored from a backup. Then the client may have this secret";
    /// The row has a place, and the backend nothing there.
    RowWithoutPath "row_without_path":
        "nothing is there, and the secret is lost: rotate the credential, or revoke it. If the database was restored from a \
         backup, it was probably revoked since";
    /// The backend has the place, and not the version that the row pins.
    VersionMissing "version_missing": "the version that the row pins is gone for good: rotate the credential, or revoke it";
    /// The version that the row pins was written by another write than its own.
    OtherWrite "other_write":
        "the version that the row pins is of another write, as after a restore of the backend, and the secret that counted is \
         lost: rotate the credential, or revoke it";
    /// The backend has a later version than the row pins, and a client may have it.
    VersionBehind "version_behind":
        "there is a later version that this database does not know: written by hand, or, if the database was restored from a \
         backup, the secret that the client has now. The next rotation writes over it";
    /// The backend has a later version than the row pins, and no client has it.
    VersionUnfinished "version_unfinished":
        "there is a later version, which counts for nothing: a rotation left it whose commit never came. Nothing needs to be \
         done, the next rotation takes it over or writes over it";
    /// The pinned version was deleted and can be undeleted.
    SoftDeleted "soft_deleted":
        "somebody deleted it in the backend: revoke the credential if that was meant, undelete its version if not";
    /// The pinned version holds no client secret.
    Unreadable "unreadable": "what is held there is no client secret: rotate the credential, or revoke it";
    /// The secret before the last rotation, whose overlap lasts, is gone.
    PreviousMissing "previous_missing":
        "the secret before the last rotation is gone before its time: a client that still uses it is refused, and has to be \
         given the new one";
    /// The row points out of the configured mount and folder.
    Elsewhere "elsewhere":
        "the row points out of the configured mount and folder: correct the settings, or rotate the credential, which moves it";
    /// The columns of the row cannot be read.
    RowUnreadable "row_unreadable": "the columns of the row cannot be read: rotate the credential, or revoke it";
    /// A name that this ledger gives to nothing.
    ForeignName "foreign_name":
        "this database gives no such name: find out who wrote it, and delete it by hand if nobody needs it";
}

impl DifferenceKind {
    /// Whether the backend has another secret than the row's, which could count in its place.
    pub(super) fn has_another_secret(self) -> bool {
        matches!(self, Self::VersionBehind | Self::PathNotPointedTo | Self::VersionMissing | Self::OtherWrite)
    }

    /// Whether somebody has to decide. The others do no harm, or mend themselves.
    #[must_use]
    pub fn needs_operator(self) -> bool {
        !matches!(self, Self::VersionUnfinished | Self::PathOfEnded)
    }
}

/// One difference. Its text is a line for an operator's terminal, the same whether it is mended or not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Its kind.
    pub kind: DifferenceKind,
    /// The backend that was compared; known of what a comparison has told.
    pub backend: Option<BackendId>,
    /// Whose it is, as the backend or the row has it, with quotes and what does not print escaped.
    pub client_id: String,
    /// Which credential's; empty where all of a client's are meant.
    pub credential_id: String,
    /// The version that the row pins, where it pins one.
    pub pinned: Option<u64>,
    /// The latest version that the backend has, where it is another one.
    pub latest: Option<u64>,
    /// The state of the row that was looked at.
    pub(super) revision: Option<Revision>,
    /// None for a foreign name.
    pub(super) key: Option<CredentialKey>,
}

impl Difference {
    pub(super) fn of_key(kind: DifferenceKind, key: &CredentialKey) -> Self {
        let named = Self::named(kind, key.client_id().as_str(), key.credential_id().as_str());
        Self { key: Some(key.clone()), ..named }
    }

    pub(super) fn of_row(kind: DifferenceKind, row: &Row) -> Self {
        Self { revision: row.revision, ..Self::of_key(kind, &row.key) }
    }

    /// Names in a backend are anybody's: they must not write lines of their own.
    pub(super) fn named(kind: DifferenceKind, client: &str, credential: &str) -> Self {
        let [client_id, credential_id] = [client, credential].map(|name| name.escape_debug().to_string());
        Self { kind, backend: None, client_id, credential_id, pinned: None, latest: None, revision: None, key: None }
    }

    /// Whose it is; none for a foreign name.
    #[must_use]
    pub fn key(&self) -> Option<CredentialKey> {
        self.key.clone()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, credential, client) = (self.kind.as_str(), &self.credential_id, &self.client_id);
        write!(f, "{class}: credential {credential} of client {client}")?;
        if let Some(named) = self.backend.as_ref().filter(|backend| backend.instance().is_some()) {
            write!(f, " at {named}")?;
        }
        write!(f, ": {}", self.kind.advice())
    }
}

/// How many there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; DifferenceKind::ALL.len()]);

impl Counts {
    pub(super) fn add(&mut self, kind: DifferenceKind) {
        for (known, count) in DifferenceKind::ALL.iter().zip(&mut self.0) {
            *count += u64::from(*known == kind);
        }
    }

    /// Each kind and its number, those without any too.
    pub fn each(&self) -> impl Iterator<Item = (DifferenceKind, u64)> {
        DifferenceKind::ALL.iter().copied().zip(self.0)
    }

    /// How many need an operator.
    #[must_use]
    pub fn for_operator(&self) -> u64 {
        self.each().filter(|(kind, _)| kind.needs_operator()).map(|(_, count)| count).sum()
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
        for kind in DifferenceKind::ALL {
            counts.add(*kind);
        }
        counts.add(DifferenceKind::VersionUnfinished);
        assert_eq!((counts.total(), counts.for_operator()), (15, 12));
        let unfinished = counts.each().find(|(kind, _)| *kind == DifferenceKind::VersionUnfinished);
        assert_eq!(unfinished, Some((DifferenceKind::VersionUnfinished, 2)));
    }

    #[test]
    fn a_name_in_a_backend_writes_no_line_of_its_own() {
        let line = Difference::named(DifferenceKind::ForeignName, "a\nforged", "\u{1b}[2J").to_string();
        assert!(!line.contains(['\n', '\u{1b}']), "{line}");
    }
}
