//! `VAULT_AUTH` and its kin: how the server comes by its token.

use std::path::PathBuf;

use super::lookup::Lookup;
use super::vault_path::parse_path;
use super::{ConfigError, Secret};

/// How the server comes by its Vault token.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "data, matched in one place")]
pub enum VaultAuth {
    /// It is given.
    Token(Secret),
    /// It is in a file, which its writer may replace.
    TokenFile(PathBuf),
    /// The AppRole login.
    AppRole {
        /// Which role.
        role_id: Secret,
        /// What proves it; none: the role asks for nothing.
        secret_id: Option<SecretId>,
        /// Whether that is the token of a wrapping, which holds it.
        wrapped: bool,
        /// Where the login is mounted; none: at Vault's own default.
        mount: Option<String>,
    },
    /// The login of a Kubernetes service account.
    Kubernetes {
        /// Which role.
        role: String,
        /// The file that holds the JWT; none: where Kubernetes puts it.
        jwt_file: Option<PathBuf>,
        /// Where the login is mounted; none: at Vault's own default.
        mount: Option<String>,
    },
    /// It is added on the way, by Vault's Agent or Proxy.
    Agent,
}

/// A secret id, or where it is.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "data, matched in one place")]
pub enum SecretId {
    /// Itself.
    Text(Secret),
    /// In a file, which is read with every login.
    File(PathBuf),
}

/// The ways, each with the settings that only it has.
const WAYS: [(&str, &[&str]); 4] = [
    ("token", &["VAULT_TOKEN", "VAULT_TOKEN_FILE"]),
    ("approle", &["VAULT_ROLE_ID", "VAULT_SECRET_ID", "VAULT_SECRET_ID_FILE", "VAULT_SECRET_ID_WRAPPED"]),
    ("kubernetes", &["VAULT_K8S_ROLE", "VAULT_K8S_JWT_FILE"]),
    ("agent", &[]),
];

const NAMES: &str = "token, approle, kubernetes or agent";

impl VaultAuth {
    /// The way that `VAULT_AUTH` names, or the only one that has any settings.
    pub(super) fn read(lookup: &Lookup<'_>, warnings: &mut Vec<String>) -> Result<Self, ConfigError> {
        let mount = lookup.parsed("VAULT_AUTH_MOUNT", "the path of a login such as approle", parse_path)?;
        match way(lookup, warnings)? {
            "approle" => {
                let Some(role_id) = lookup.text("VAULT_ROLE_ID") else { return Err(missing("VAULT_ROLE_ID")) };
                let wrapped = lookup.flag("VAULT_SECRET_ID_WRAPPED")?.unwrap_or(false);
                let secret_id = secret_id(lookup)?;
                if wrapped && secret_id.is_none() {
                    return Err(missing("VAULT_SECRET_ID"));
                }
                Ok(Self::AppRole { role_id: Secret::from(role_id), secret_id, wrapped, mount })
            }
            "kubernetes" => {
                let role = lookup.text("VAULT_K8S_ROLE").ok_or_else(|| missing("VAULT_K8S_ROLE"))?;
                Ok(Self::Kubernetes { role, jwt_file: lookup.path("VAULT_K8S_JWT_FILE")?, mount })
            }
            "agent" => Ok(Self::Agent),
            _ => token(lookup),
        }
    }

    /// Asks for every name, so that they count as known where nothing is read.
    pub(super) fn name_all(lookup: &Lookup<'_>) {
        for name in WAYS.iter().flat_map(|(_, names)| *names).chain(&["VAULT_AUTH", "VAULT_AUTH_MOUNT"]) {
            lookup.text(name);
        }
    }

    /// The setting to look at when Vault refuses the token.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        match self {
            Self::Token(_) => "VAULT_TOKEN",
            Self::TokenFile(_) => "VAULT_TOKEN_FILE",
            Self::AppRole { .. } => "VAULT_ROLE_ID",
            Self::Kubernetes { .. } => "VAULT_K8S_ROLE",
            Self::Agent => "VAULT_AUTH",
        }
    }
}

fn way(lookup: &Lookup<'_>, warnings: &mut Vec<String>) -> Result<&'static str, ConfigError> {
    let set = |names: &[&'static str]| names.iter().copied().find(|name| lookup.text(name).is_some());
    let found: Vec<_> = WAYS.iter().filter_map(|(way, names)| set(names).map(|name| (*way, name))).collect();
    let known = |text: &str| WAYS.iter().map(|(way, _)| *way).find(|way| *way == text);
    let named = lookup.parsed("VAULT_AUTH", NAMES, known)?;
    match (named, found.as_slice()) {
        (Some(named), _) => {
            for (_, name) in found.iter().filter(|(way, _)| *way != named) {
                warnings.push(format!("{name} is not used, because VAULT_AUTH is {named}: unset it"));
            }
            Ok(named)
        }
        (None, [(only, _)]) => Ok(only),
        (None, []) => Ok("token"),
        (None, [(_, one), (_, other), ..]) => Err(ConfigError::new(
            "VAULT_AUTH",
            format_args!("is missing while {one} and {other} are both set: set it to {NAMES}"),
        )),
    }
}

fn token(lookup: &Lookup<'_>) -> Result<VaultAuth, ConfigError> {
    let token = lookup.secret("VAULT_TOKEN", "VAULT_TOKEN_FILE")?.ok_or_else(|| {
        ConfigError::new(
            "VAULT_TOKEN",
            "is missing while VAULT_ADDR is set: set it or VAULT_TOKEN_FILE, let the server log in (VAULT_AUTH), or unset \
             VAULT_ADDR for bcrypt digests",
        )
    })?;
    let file = lookup.text("VAULT_TOKEN_FILE").map(PathBuf::from);
    // It becomes a header.
    if !token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        let name = if file.is_some() { "VAULT_TOKEN_FILE" } else { "VAULT_TOKEN" };
        return Err(ConfigError::new(name, "must be one word of ASCII: copy the token again, without line breaks"));
    }
    Ok(file.map_or(VaultAuth::Token(token), VaultAuth::TokenFile))
}

fn secret_id(lookup: &Lookup<'_>) -> Result<Option<SecretId>, ConfigError> {
    let secret_id = lookup.secret("VAULT_SECRET_ID", "VAULT_SECRET_ID_FILE")?;
    Ok(secret_id.map(|secret_id| match lookup.text("VAULT_SECRET_ID_FILE") {
        Some(path) => SecretId::File(PathBuf::from(path)),
        None => SecretId::Text(secret_id),
    }))
}

fn missing(name: &'static str) -> ConfigError {
    let or_file = if name == "VAULT_SECRET_ID" { " or VAULT_SECRET_ID_FILE" } else { "" };
    ConfigError::new(name, format_args!("is missing, which this way of logging in to Vault needs: set it{or_file}"))
}
