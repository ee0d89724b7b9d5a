//! The first steps, printed where there is no agent yet.

use std::env;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::config::{Config, DEFAULT_DATA_DIR};

/// Lines that lead from nothing to an access token. They can be pasted as they are into another terminal in the same
/// folder, and need `sh`, `curl` and `sed`.
#[derive(Debug)]
pub(crate) struct Welcome {
    origin: String,
    command: String,
    note: Option<&'static str>,
}

impl Welcome {
    /// For a server that listens on `address` with these settings.
    pub(crate) fn new(config: &Config, address: SocketAddr) -> Self {
        let executable = env::current_exe().unwrap_or_else(|_| PathBuf::from("agentidp-server"));
        let folder = env::current_dir().unwrap_or_default();
        Self {
            origin: format!("http://{}", reachable(address)),
            command: format!("{}{}", settings(config), quoted(&relative(&executable, &folder))),
            note: config.jwt.private_key.is_some().then_some(config.jwt.private_key_setting),
        }
    }
}

impl fmt::Display for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, command, note } = self;
        write!(f, "\nThere is no agent yet. Paste this into another terminal in this folder")?;
        if let Some(setting) = note {
            write!(f, " (with the same {setting})")?;
        }
        write!(
            f,
            r#" to get a first access token:

  OPERATOR=$({command} operator-token)
  AGENT=$(curl -sS {origin}/api/v1/agents -H "Authorization: Bearer $OPERATOR" -H 'Content-Type: application/json' \
    -d '{{"email":"first@agents.example","agentType":"custom","version":"1.0.0","capabilities":["demo:read"],"owner":"me","deploymentEnv":"development"}}' \
    | sed -n 's/.*"agentId":"\([^"]*\)".*/\1/p')
  SECRET=$(curl -sS -X POST {origin}/api/v1/agents/$AGENT/credentials -H "Authorization: Bearer $OPERATOR" \
    | sed -n 's/.*"clientSecret":"\([^"]*\)".*/\1/p')
  curl -sS {origin}/api/v1/token -d grant_type=client_credentials -d "client_id=$AGENT" -d "client_secret=$SECRET"; echo
"#
        )
    }
}

/// The settings that the other terminal may not have, as the shell writes them before a command.
fn settings(config: &Config) -> String {
    let mut settings = String::new();
    if config.storage.data_dir != Path::new(DEFAULT_DATA_DIR) {
        settings.push_str(&format!("AGENTIDP_DATA_DIR={} ", quoted(&config.storage.data_dir.to_string_lossy())));
    }
    if let Some(issuer) = &config.jwt.issuer {
        settings.push_str(&format!("JWT_ISSUER={} ", quoted(issuer)));
    }
    settings
}

/// The path as seen from `folder`, which is shorter where it lies below.
fn relative(path: &Path, folder: &Path) -> String {
    match path.strip_prefix(folder) {
        Ok(below) => format!("./{}", below.display()),
        Err(_) => path.display().to_string(),
    }
}

/// An address that a client on this machine can use.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) if address.ip().is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(_) if address.ip().is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// The text as one word of the shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:-".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(quoted("./target/release/agentidp-server"), "./target/release/agentidp-server");
        assert_eq!(quoted("/a b/it's $(x)"), r"'/a b/it'\''s $(x)'");
    }

    #[test]
    fn a_server_on_all_networks_is_asked_on_this_machine() {
        for (listens, asked) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.0.0.7:80", "10.0.0.7:80")]
        {
            assert_eq!(reachable(listens.parse().unwrap()).to_string(), asked);
        }
    }

    #[test]
    fn the_command_is_given_as_seen_from_the_folder() {
        assert_eq!(relative(Path::new("/a/target/x"), Path::new("/a")), "./target/x");
        assert_eq!(relative(Path::new("/usr/bin/x"), Path::new("/a")), "/usr/bin/x");
    }

    #[test]
    fn settings_that_another_terminal_may_lack_come_along() {
        let config = |data_dir: &'static str| {
            Config::from_lookup(move |name| (name == "AGENTIDP_DATA_DIR").then(|| data_dir.to_owned())).unwrap()
        };
        assert_eq!(settings(&config("")), "");
        assert_eq!(settings(&config("/var/my data")), "AGENTIDP_DATA_DIR='/var/my data' ");
    }
}
