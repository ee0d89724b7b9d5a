//! What is mounted where.

use serde::Deserialize;

use super::auth::Session;
use super::failure::Failure;
use super::wire::Request;
use super::wire::answer::data;

/// What Vault says about a mount.
#[derive(Deserialize)]
pub(crate) struct Mount {
    /// The path of the mount, with a slash at its end.
    path: String,
    #[serde(rename = "type")]
    pub(crate) engine: String,
    pub(crate) options: Option<MountOptions>,
}

impl Mount {
    /// Asks Vault. Any right below the mount is enough.
    pub(crate) async fn find(session: &Session, mount: &str) -> Result<Self, Failure> {
        let path = format!("sys/internal/ui/mounts/{mount}");
        let answer = session.send(Request::get(path)).await?;
        data(answer.status, &answer.body)
    }

    /// Whether it is this one: Vault answers for the mount that a longer path lies in, too.
    pub(crate) fn is_at(&self, mount: &str) -> bool {
        self.path.trim_end_matches('/') == mount
    }
}

/// The options of a mount.
#[derive(Deserialize)]
pub(crate) struct MountOptions {
    pub(crate) version: Option<String>,
}
