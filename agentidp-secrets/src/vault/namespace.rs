//! Namespaces, as settings name them.

use super::path::Folder;
use super::setting::{Names, Setting};
use crate::error::{Error, ErrorKind, Result};

/// None for the one at the top, which Vault's own clients call by an empty text, a slash, or `root`.
///
/// # Errors
/// `InvalidConfig`, naming the setting.
pub(super) fn parse(text: &str, setting: Setting, names: Names) -> Result<Option<&str>> {
    match text.trim_matches('/') {
        "" | "root" => Ok(None),
        namespace if Folder::is_folder(namespace) => Ok(Some(namespace)),
        _ => {
            let setting = names.of(setting);
            let message = format!("a namespace is 1 to 128 bytes of A-Z a-z 0-9 . _ - in segments: {setting}");
            Err(Error::new(ErrorKind::InvalidConfig, message))
        }
    }
}
