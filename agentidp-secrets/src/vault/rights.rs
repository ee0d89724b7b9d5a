//! The rights that the backend needs in Vault, and the policy that grants just them.

use std::fmt;

use super::path::Folder;
use crate::error::Result;

/// One right of the least-privilege policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Right {
    /// Write the first version of a secret.
    Create,
    /// Read a version.
    Read,
    /// Write a further version.
    Update,
    /// Soft-delete the latest version. No operation of the backend needs it; operators do by hand.
    Delete,
    /// Delete all versions for good: `delete` on the metadata.
    Purge,
    /// List the names of what is stored. Not in the policy: only a comparison of Vault with the rows asks for it.
    List,
}

impl Right {
    /// Every right of the policy that the backend needs.
    pub const ALL: [Self; 5] = [Self::Create, Self::Read, Self::Update, Self::Delete, Self::Purge];

    /// The capability as a policy spells it.
    #[must_use]
    pub fn capability(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete | Self::Purge => "delete",
            Self::List => "list",
        }
    }

    /// The path pattern that the policy must allow it on.
    pub(crate) fn pattern(self, folder: &Folder) -> String {
        let branch = if matches!(self, Self::Purge | Self::List) { "metadata" } else { "data" };
        format!("{}/{branch}/{}", folder.mount(), folder.below("*"))
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.capability())
    }
}

/// What came of trying one right.
#[derive(Debug)]
#[non_exhaustive]
pub struct RightCheck {
    /// The right.
    pub right: Right,
    /// The path pattern that it is needed on.
    pub pattern: String,
    /// `Denied` when the policy does not grant it, or it could not be tried because another right is missing; other
    /// kinds as they say.
    pub result: Result<()>,
}

/// The least-privilege policy for a folder.
pub(crate) fn policy(folder: &Folder) -> String {
    let on_data: Vec<String> =
        Right::ALL.iter().filter(|right| **right != Right::Purge).map(|right| format!("\"{right}\"")).collect();
    format!(
        "path \"{}\" {{\n  capabilities = [{}]\n}}\n\npath \"{}\" {{\n  capabilities = [\"{}\"]\n}}\n",
        Right::Create.pattern(folder),
        on_data.join(", "),
        Right::Purge.pattern(folder),
        Right::Purge,
    )
}

/// What listing needs beside it.
pub(crate) fn listing_policy(folder: &Folder) -> String {
    format!("path \"{}\" {{\n  capabilities = [\"{}\"]\n}}\n", Right::List.pattern(folder), Right::List)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_the_documented_one_for_the_configured_folder() {
        let expected = "path \"team/kv/data/idp/*\" {\n  capabilities = [\"create\", \"read\", \"update\", \"delete\"]\n}\n\n\
                        path \"team/kv/metadata/idp/*\" {\n  capabilities = [\"delete\"]\n}\n";
        assert_eq!(policy(&Folder::new("team/kv", "idp").unwrap()), expected);
    }
}
