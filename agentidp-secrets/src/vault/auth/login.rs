//! Logins: what is sent, and to where.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use super::grant::Grant;
use super::token::VaultToken;
use super::wrapped::Unwrapped;
use super::{answer, file};
use crate::error::{Error, ErrorKind, Result};
use crate::vault::auth_kind::AuthKind;
use crate::vault::failure::Failure;
use crate::vault::hidden::{Hidden, unquoted};
use crate::vault::path::Folder;
use crate::vault::setting::{Names, Setting};
use crate::vault::wire::{Request, Transport};

/// The AppRole login: a role id and a secret id, one of a program and one of where it runs.
///
/// `Debug` shows neither.
#[derive(Clone, Debug)]
pub struct AppRole {
    role_id: Hidden,
    secret_id: Option<SecretId>,
    wrapped: bool,
    unwrapped: Unwrapped,
    mount: String,
}

/// How it is written.
#[derive(Deserialize)]
#[serde(remote = "AppRole", deny_unknown_fields)]
struct AppRoleForm {
    role_id: Hidden,
    #[serde(default)]
    secret_id: Option<SecretId>,
    #[serde(default)]
    wrapped: bool,
    #[serde(skip)]
    unwrapped: Unwrapped,
    #[serde(default = "default_app_role_mount")]
    mount: String,
}

impl<'de> Deserialize<'de> for AppRole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        const EXPECTED: &str =
            "an AppRole login has `role_id`, and may have `secret_id` (with `text` or `file`), `wrapped` and `mount`";
        unquoted(AppRoleForm::deserialize(deserializer), EXPECTED)
    }
}

/// A secret id, or where it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SecretId {
    Text(Hidden),
    File(PathBuf),
}

/// The login of a Kubernetes service account: its JWT is read anew from its file with every login, because Kubernetes
/// replaces it every hour.
#[derive(Clone, Debug)]
pub struct Kubernetes {
    role: String,
    mount: String,
    jwt_file: PathBuf,
}

/// How it is written.
#[derive(Deserialize)]
#[serde(remote = "Kubernetes", deny_unknown_fields)]
struct KubernetesForm {
    role: String,
    #[serde(default = "default_kubernetes_mount")]
    mount: String,
    #[serde(default = "default_jwt_file")]
    jwt_file: PathBuf,
}

impl<'de> Deserialize<'de> for Kubernetes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        unquoted(
            KubernetesForm::deserialize(deserializer),
            "a Kubernetes login has `role`, and may have `mount` and `jwt_file`",
        )
    }
}

impl AppRole {
    /// A role with a secret id as it is.
    pub fn new(role_id: impl Into<String>, secret_id: impl Into<String>) -> Self {
        Self::of(role_id.into(), Some(SecretId::Text(Hidden::from(secret_id.into()))))
    }

    /// A role whose secret id is in a file, which is read anew with every login.
    pub fn with_secret_id_file(role_id: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self::of(role_id.into(), Some(SecretId::File(path.into())))
    }

    /// A role that asks for no secret id (`bind_secret_id=false`).
    pub fn without_secret_id(role_id: impl Into<String>) -> Self {
        Self::of(role_id.into(), None)
    }

    /// What was given is not the secret id: it is the token of a wrapping that holds it, as `-wrap-ttl` makes one. It is unwrapped
    /// with the first login, and its secret id is remembered. That works once, so each start of the program needs a new one; a
    /// file may be replaced at any time. A wrapping that was made elsewhere than at the mount of this login is left alone.
    #[must_use]
    pub fn wrapped(mut self) -> Self {
        self.wrapped = true;
        self
    }

    /// Where the login is mounted. Default `approle`.
    #[must_use]
    pub fn mount(mut self, mount: impl Into<String>) -> Self {
        self.mount = mount.into();
        self
    }

    /// What can be found out before anything is sent.
    pub(super) fn check(&self, names: Names) -> Result<()> {
        check_mount(&self.mount, names)?;
        refuse_empty(self.role_id.expose(), names.of(Setting::RoleId))?;
        match &self.secret_id {
            Some(SecretId::Text(text)) => refuse_empty(text.expose(), names.of(Setting::SecretId)),
            Some(SecretId::File(_)) => Ok(()),
            None if self.wrapped => refuse_empty("", names.of(Setting::SecretId)),
            None => Ok(()),
        }
    }

    fn of(role_id: String, secret_id: Option<SecretId>) -> Self {
        let mount = default_app_role_mount();
        Self { role_id: Hidden::from(role_id), secret_id, wrapped: false, unwrapped: Unwrapped::default(), mount }
    }

    pub(super) async fn log_in(&self, transport: &Arc<Transport>) -> Result<Grant, Failure> {
        #[derive(Serialize)]
        struct Body<'a> {
            role_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            secret_id: Option<&'a str>,
        }
        let secret_id = self.secret_id(transport).await?;
        let body = Body { role_id: self.role_id.expose(), secret_id: secret_id.as_ref().map(Hidden::expose) };
        log_in(transport, AuthKind::AppRole, &self.mount, &body).await
    }

    async fn secret_id(&self, transport: &Arc<Transport>) -> Result<Option<Hidden>, Failure> {
        let (given, setting) = match &self.secret_id {
            Some(SecretId::Text(text)) => (text.clone(), Setting::SecretId),
            Some(SecretId::File(path)) => {
                let read = file::read(path).ok_or(Failure::BadFile(Setting::SecretIdFile))?;
                (read, Setting::SecretIdFile)
            }
            None => return Ok(None),
        };
        if !self.wrapped {
            return Ok(Some(given));
        }
        let mount = self.mount.trim_matches('/');
        self.unwrapped.secret_id(given, mount, setting, transport).await.map(Some)
    }
}

impl Kubernetes {
    /// The login under this role, with the JWT that Kubernetes mounts into a pod.
    pub fn new(role: impl Into<String>) -> Self {
        Self { role: role.into(), mount: default_kubernetes_mount(), jwt_file: default_jwt_file() }
    }

    /// Where the login is mounted. Default `kubernetes`.
    #[must_use]
    pub fn mount(mut self, mount: impl Into<String>) -> Self {
        self.mount = mount.into();
        self
    }

    /// The file that holds the JWT. Default where Kubernetes mounts it.
    #[must_use]
    pub fn jwt_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.jwt_file = path.into();
        self
    }

    /// What can be found out before anything is sent.
    pub(super) fn check(&self, names: Names) -> Result<()> {
        check_mount(&self.mount, names)?;
        refuse_empty(&self.role, names.of(Setting::KubernetesRole))
    }

    pub(super) async fn log_in(&self, transport: &Transport) -> Result<Grant, Failure> {
        let jwt = file::read(&self.jwt_file).ok_or(Failure::BadFile(Setting::JwtFile))?;
        #[derive(Serialize)]
        struct Body<'a> {
            role: &'a str,
            jwt: &'a str,
        }
        log_in(transport, AuthKind::Kubernetes, &self.mount, &Body { role: &self.role, jwt: jwt.expose() }).await
    }
}

fn check_mount(mount: &str, names: Names) -> Result<()> {
    if Folder::is_folder(mount.trim_matches('/')) {
        return Ok(());
    }
    let setting = names.of(Setting::AuthMount);
    let message = format!("the mount of the Vault login is 1 to 128 bytes of A-Z a-z 0-9 . _ - in segments: {setting}");
    Err(Error::new(ErrorKind::InvalidConfig, message))
}

fn refuse_empty(text: &str, setting: &str) -> Result<()> {
    if !text.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidConfig, format!("a part of the Vault login is empty: set {setting}")))
}

async fn log_in(
    transport: &Transport,
    kind: AuthKind,
    mount: &str,
    body: &(impl Serialize + Sync),
) -> Result<Grant, Failure> {
    // Large enough for all that there is, so that no copy is left behind unwiped.
    let mut encoded = Zeroizing::new(Vec::with_capacity(8192));
    // Texts in a map: there is nothing that could not be encoded.
    serde_json::to_writer(&mut *encoded, body).map_err(|_| Failure::Rejected(400))?;
    let request =
        Request::post(format!("auth/{}/login", mount.trim_matches('/')), Bytes::from_owner(encoded)).of_token();
    let answer = transport.send(request, None).await?;
    let (token, lease) = answer::login(answer.status, &answer.body, kind)?;
    let token = VaultToken::from(token).header(Names::default()).map_err(|_| Failure::Foreign(answer.status))?;
    Ok(Grant { token, lease: Some(lease) })
}

/// Vault's own defaults.
fn default_app_role_mount() -> String {
    "approle".to_owned()
}

fn default_kubernetes_mount() -> String {
    "kubernetes".to_owned()
}

/// Where every pod finds it.
fn default_jwt_file() -> PathBuf {
    PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount/token")
}
