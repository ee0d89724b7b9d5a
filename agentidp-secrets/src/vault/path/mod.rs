//! The path of a credential's secret: what a Vault record's payload says.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::sync::Arc;

use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Result};
use crate::vault::layout::Layout;

/// Vault's path of one credential's secret, with the pinned version if there is one:
/// `{mount}/data/{prefix}/agents/{client}/credentials/{credential}?version={n}`. With a
/// [layout](super::VaultKv2Builder::layout) of your own the path below the prefix is another one.
///
/// Behind the version stands when it was written, as Vault has it: `&created={time}`. By that a comparison sees that the number means
/// another write, as it may after a restore of Vault. Reading does not look at it.
///
/// Without a version it means the latest: so do rows that an older system wrote, until their next rotation.
///
/// Ids of `A-Z a-z 0-9 . _ -` stand in it as they are. Every other byte of an id is a `~` and two hexadecimal digits, so
/// `https://idp.example` is `https~3a~2f~2fidp.example`; the dots of `.` and `..` are too. No two keys share a path, and the key is
/// read back from it. The longest record has 1,900 bytes; with ids of at most 128 plain bytes it stays under 700.
///
/// `Display` prints the whole path, as a record's payload. `Debug` shows the version only, because paths do not belong
/// into logs.
///
/// ```
/// use agentidp_secrets::CredentialKey;
/// use agentidp_secrets::vault::VaultPath;
///
/// let key = CredentialKey::parse("agent-7", "c1")?;
/// let path = VaultPath::for_key("secret", "agentidp", &key)?.with_version(3)?;
/// assert_eq!(path.to_string(), "secret/data/agentidp/agents/agent-7/credentials/c1?version=3");
/// assert_eq!(VaultPath::parse(&path.to_string())?, path);
/// # Ok::<(), agentidp_secrets::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VaultPath {
    folder: Folder,
    key: CredentialKey,
    version: Option<NonZeroU64>,
    created: Option<Arc<str>>,
}

impl VaultPath {
    /// The path of `key` below `prefix` on `mount`, without a version.
    ///
    /// # Errors
    /// `Malformed` when the mount or the prefix is not 1 to 128 bytes of `A-Z a-z 0-9 . _ -` in segments, or the mount
    /// has a segment `data` after its first one (a path could then be read in two ways).
    pub fn for_key(mount: &str, prefix: &str, key: &CredentialKey) -> Result<Self> {
        match Folder::new(mount, prefix) {
            Some(folder) => Ok(folder.path(key)),
            None => Err(malformed("mount and prefix are 1 to 128 bytes of A-Z a-z 0-9 . _ - in segments")),
        }
    }

    /// Reads a record's payload, or the bare path of an older row.
    ///
    /// # Errors
    /// `Malformed` when the text is anything else. A version below 1 is refused too: Vault reads the latest for it.
    /// The message does not repeat the text.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_in(&Arc::default(), text)
    }

    fn parse_in(layout: &Arc<Layout>, text: &str) -> Result<Self> {
        let (path, pin) = match text.split_once('?') {
            Some((path, query)) => (path, Some(parse_pin(query)?)),
            None => (text, None),
        };
        let (version, created) = pin.map_or((None, None), |(version, created)| (Some(version), created));
        parse_path(layout, path)
            .map(|path| Self { version, created, ..path })
            .ok_or_else(|| malformed(format!("a Vault path is mount/data/prefix/{layout}")))
    }

    /// The same path, pinned to `version`.
    ///
    /// # Errors
    /// `Malformed` when `version` is 0: Vault reads the latest for it.
    pub fn with_version(mut self, version: u64) -> Result<Self> {
        self.version = Some(NonZeroU64::new(version).ok_or_else(|| malformed("a version is 1 or more"))?);
        self.created = None;
        Ok(self)
    }

    /// The same path, pinned to what was written.
    pub(crate) fn pinned_to(self, written: &Written) -> Result<Self> {
        Ok(Self { created: written.created.clone(), ..self.with_version(written.version)? })
    }

    /// Whether the path pins another write than this one, which has the number of its version. Not if either is not known.
    pub(crate) fn is_of_another(&self, written: &Written) -> bool {
        let known = self.created.as_ref().zip(written.created.as_ref());
        known.is_some_and(|(ours, theirs)| ours != theirs)
    }

    /// The same path without a version, which means the latest.
    #[must_use]
    pub fn unpinned(mut self) -> Self {
        (self.version, self.created) = (None, None);
        self
    }

    /// The mount of the KV engine.
    #[must_use]
    pub fn mount(&self) -> &str {
        &self.folder.mount
    }

    /// Our folder on the mount; empty where a layout of your own has none.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.folder.prefix
    }

    /// Whose secret it is.
    #[must_use]
    pub fn key(&self) -> &CredentialKey {
        &self.key
    }

    /// The pinned version, 1 or more.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.version.map(NonZeroU64::get)
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The path as the KV engine sees it, below its `data/` or `metadata/`.
    pub(crate) fn below_mount(&self) -> String {
        self.folder.below(&self.folder.layout.path(&self.key))
    }
}

impl fmt::Display for VaultPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/data/{}", self.folder.mount, self.below_mount())?;
        if let Some(version) = self.version {
            write!(f, "?version={version}")?;
        }
        match &self.created {
            Some(created) => write!(f, "&created={created}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for VaultPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultPath").field("version", &self.version()).finish_non_exhaustive()
    }
}

impl FromStr for VaultPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// A mount and our prefix on it, both checked: everything below is ours. And where below it the entries lie.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Folder {
    mount: Arc<str>,
    prefix: Arc<str>,
    layout: Arc<Layout>,
}

impl Folder {
    /// Longest mount and longest prefix in bytes.
    const MAX_LEN: usize = 128;

    pub(crate) fn new(mount: &str, prefix: &str) -> Option<Self> {
        Self::with_layout(mount, prefix, Arc::default())
    }

    /// Only what other software has laid out may have no prefix.
    pub(crate) fn with_layout(mount: &str, prefix: &str, layout: Arc<Layout>) -> Option<Self> {
        let is_prefix = if prefix.is_empty() { *layout != Layout::default() } else { Self::is_folder(prefix) };
        let sound = Self::is_mount(mount) && is_prefix;
        sound.then(|| Self { mount: Arc::from(mount), prefix: Arc::from(prefix), layout })
    }

    /// What has this path below our folder, as the KV engine sees it.
    pub(crate) fn below(&self, path: &str) -> String {
        if self.prefix.is_empty() { path.to_owned() } else { format!("{}/{path}", self.prefix) }
    }

    /// Whether a path on this mount can be told apart again: `a/data/data/b` has two readings.
    pub(crate) fn is_mount(text: &str) -> bool {
        Self::is_folder(text) && text.split('/').skip(1).all(|segment| segment != "data")
    }

    /// Whether every segment is one that Vault, a URL and a policy all take literally.
    pub(crate) fn is_folder(text: &str) -> bool {
        let literal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let sound = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(literal);
        text.len() <= Self::MAX_LEN && text.split('/').all(sound)
    }

    pub(crate) fn mount(&self) -> &str {
        &self.mount
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Reads a record's payload, of this layout and maybe of another folder.
    pub(crate) fn parse(&self, text: &str) -> Result<VaultPath> {
        VaultPath::parse_in(&self.layout, text)
    }

    pub(crate) fn path(&self, key: &CredentialKey) -> VaultPath {
        VaultPath { folder: self.clone(), key: key.clone(), version: None, created: None }
    }
}

fn parse_path(layout: &Arc<Layout>, text: &str) -> Option<VaultPath> {
    let segments: Vec<&str> = text.split('/').collect();
    let (folder, own) = segments.split_at_checked(segments.len().checked_sub(layout.len())?)?;
    // A mount may be called `data` itself, so the first segment is never the separator.
    let data = folder.iter().skip(1).position(|segment| *segment == "data")? + 1;
    let (mount, prefix) = (folder.get(..data)?.join("/"), folder.get(data + 1..)?.join("/"));
    let folder = Folder::with_layout(&mount, &prefix, Arc::clone(layout))?;
    Some(folder.path(&layout.key(own)?))
}

/// A version that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Its number, 1 or more.
    pub(crate) version: u64,
    /// When, as Vault says it.
    pub(crate) created: Option<Arc<str>>,
}

impl Written {
    /// A time that is none of Vault's form is not known.
    pub(crate) fn new(version: u64, created: &str) -> Self {
        Self { version, created: Some(created).filter(|text| is_time(text)).map(Arc::from) }
    }
}

impl From<u64> for Written {
    fn from(version: u64) -> Self {
        Self { version, created: None }
    }
}

fn is_time(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'+' | b'-');
    (1..=40).contains(&text.len()) && text.bytes().all(plain)
}

/// Reads `version=N` in the one form that is also printed: no sign, no leading zero. Behind it, when it was written.
fn parse_pin(query: &str) -> Result<(NonZeroU64, Option<Arc<str>>)> {
    let (version, created) = match query.split_once("&created=") {
        Some((version, created)) => (version, Some(created)),
        None => (query, None),
    };
    let version = version
        .strip_prefix("version=")
        .filter(|digits| !digits.starts_with(['0', '+']))
        .and_then(|digits| digits.parse().ok())
        .filter(|_| created.is_none_or(is_time));
    let version =
        version.ok_or_else(|| malformed("a Vault path ends in ?version=N with N of 1 or more, or has no version"))?;
    Ok((version, created.map(Arc::from)))
}

fn malformed(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Malformed, message)
}

#[cfg(test)]
mod tests;
