//! The folder that the settings name.

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::vault::config::VaultKv2Config;
use crate::vault::layout::Layout;
use crate::vault::path::Folder;
use crate::vault::setting::{Names, Setting};

/// Slashes around mount and prefix are cut off, because Vault's own listings print `secret/`.
pub(super) fn parse_folder(config: &VaultKv2Config, names: Names) -> Result<Folder> {
    let (mount, prefix) = (config.mount.trim_matches('/'), config.prefix.trim_matches('/'));
    let layout = match &config.layout {
        Some(template) => Layout::parse(template)
            .map_err(|flaw| invalid(format!("the layout {flaw}: {}", names.of(Setting::Layout))))?,
        None => Layout::default(),
    };
    if !Folder::is_mount(mount) {
        let setting = names.of(Setting::Mount);
        return Err(invalid(format!(
            "the mount is 1 to 128 bytes of A-Z a-z 0-9 . _ - in segments, the later ones not `data`: {setting}"
        )));
    }
    Folder::with_layout(mount, prefix, Arc::new(layout)).ok_or_else(|| {
        let (setting, layout) = (names.of(Setting::Prefix), names.of(Setting::Layout));
        invalid(format!(
            "the prefix below the mount is 1 to 128 bytes of A-Z a-z 0-9 . _ - in segments, or none with a layout of your own: \
             {setting}, {layout}"
        ))
    })
}

pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}
