//! Every setting, good and bad, and that all of them are documented.

mod secrets;
mod vault;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::*;
use crate::rate_limit::Rates;
use crate::repo::AuditMode;

fn config(settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_lookup(|name| settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
}

const MAC_KEYS: &str = "k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92";

/// Enough for Vault mode.
const VAULT: [(&str, &str); 2] = [("VAULT_ADDR", "http://127.0.0.1:8200"), ("VAULT_TOKEN", "hvs.token")];

fn token_of(vault: &Vault) -> &str {
    match &vault.auth {
        VaultAuth::Token(token) => token.expose_secret(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_set_is_the_documented_default() {
    let config = config(&[]).unwrap();
    assert_eq!(config.listen.address().to_string(), "127.0.0.1:3000");
    assert!(config.storage.database_url.is_none());
    assert_eq!(config.storage.data_dir.to_str(), Some("./agentidp-data"));
    assert_eq!(config.storage.row_cache_capacity, 1_000_000);
    assert!(config.jwt.private_key.is_none() && config.jwt.issuer.is_none());
    assert!(config.vault.is_none());
    assert_eq!((config.limits.bcrypt_cost, config.limits.rates), (10, Rates::of(100)));
    assert_eq!((config.limits.agents, config.limits.monthly_tokens), (None, None));
    assert_eq!(config.warm, Warm { capacity: 100_000, vault_lifetime: Duration::ZERO, vault_stale: Duration::ZERO });
    assert_eq!(config.audit.mode, AuditMode::Sync);
    assert!(config.digests.mac_keys.is_none() && !config.upgrades.on_verify);
    assert_eq!(config.digests.new, NewSecrets::Bcrypt);
    assert!(config.upgrades.rate.is_none() && config.upgrades.except.is_empty());
    assert!(config.http.trusted_proxies.is_empty() && config.http.cors_origin.is_none());
    assert_eq!(config.log, Log { format: LogFormat::Text, filter: "info".to_owned() });
    assert!(config.warnings.is_empty());
}

#[test]
fn an_empty_variable_is_unset() {
    let names = known_names();
    let empty: Vec<_> = names.iter().map(|name| (name.as_str(), " ")).collect();
    assert_eq!(format!("{:?}", config(&empty).unwrap()), format!("{:?}", config(&[]).unwrap()));
}

#[test]
fn good_values_arrive() {
    let config = config(&[
        ("HOST", "::1"),
        ("PORT", " 0 "),
        ("DATABASE_URL", "sqlite:/tmp/a.db"),
        ("AGENTIDP_DATA_DIR", "/var/lib/agentidp"),
        ("ROW_CACHE_CAPACITY", "0"),
        ("JWT_PRIVATE_KEY", "pem"),
        ("JWT_ALGORITHM", "ES256"),
        ("JWT_ISSUER", "https://idp.example"),
        ("BCRYPT_COST", "12"),
        ("RATE_LIMIT_PER_MINUTE", "0"),
        ("AGENT_LIMIT", "100"),
        ("MONTHLY_TOKEN_LIMIT", "10000"),
        ("WARM_CAPACITY", "0"),
        ("WARM_VAULT_LIFETIME", "60s"),
        ("WARM_VAULT_STALE", "15m"),
        ("RECONCILE_INTERVAL", "0s"),
        ("AUDIT_MODE", "async"),
        ("MAC_KEYS", MAC_KEYS),
        ("SECRET_BACKEND", "keyed-digest"),
        ("UPGRADE_ON_VERIFY", "true"),
        ("UPGRADE_RATE", "20"),
        ("UPGRADE_EXCEPT", "4d2d3a0e-8f0b-4c1f-9d7e-0a4c3f6b2e11, 4d2d3a0e-8f0b-4c1f-9d7e-0a4c3f6b2e12"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7,fd00::/8"),
        ("CORS_ORIGIN", "https://app.example"),
        ("MAX_CONNECTIONS", "7"),
        ("REQUEST_TIMEOUT", "5s"),
        ("IDLE_TIMEOUT", "620s"),
        ("SHUTDOWN_DELAY", "15s"),
        ("SHUTDOWN_TIMEOUT", "1m"),
        ("LOG_FORMAT", "json"),
        ("LOG_LEVEL", "debug"),
    ])
    .unwrap();
    assert_eq!(config.listen.address().to_string(), "[::1]:0");
    assert_eq!(config.storage.database_url.unwrap().expose_secret(), "sqlite:/tmp/a.db");
    assert_eq!(config.storage.data_dir.to_str(), Some("/var/lib/agentidp"));
    assert_eq!(config.storage.row_cache_capacity, 0);
    assert_eq!(config.jwt.private_key.unwrap().expose_secret(), "pem");
    assert_eq!(config.jwt.issuer.as_deref(), Some("https://idp.example"));
    assert_eq!((config.limits.bcrypt_cost, config.limits.rates), (12, Rates::of(0)));
    assert_eq!((config.limits.agents, config.limits.monthly_tokens), (Some(100), Some(10_000)));
    let (vault_lifetime, vault_stale) = (Duration::from_secs(60), Duration::from_secs(900));
    assert_eq!(config.warm, Warm { capacity: 0, vault_lifetime, vault_stale });
    assert_eq!(config.audit.mode, AuditMode::Async);
    assert_eq!(config.digests.mac_keys.unwrap().ids().count(), 1);
    assert!(config.digests.new == NewSecrets::Keyed && config.upgrades.on_verify);
    assert_eq!((config.upgrades.rate, config.upgrades.except.len()), (Some(20), 2));
    assert_eq!(config.http.trusted_proxies.len(), 3);
    assert!(config.http.trusted_proxies[1].contains(&"192.0.2.7/32".parse::<ipnet::IpNet>().unwrap()));
    assert_eq!(config.http.cors_origin.unwrap(), "https://app.example");
    assert_eq!(config.http.max_connections, 7);
    assert_eq!(config.http.request_timeout, Duration::from_secs(5));
    assert_eq!(config.http.idle_timeout, Duration::from_secs(620));
    assert_eq!(config.http.shutdown_delay, Duration::from_secs(15));
    assert_eq!(config.http.shutdown_timeout, Duration::from_secs(60));
    assert_eq!(config.log, Log { format: LogFormat::Json, filter: "debug".to_owned() });
}

#[test]
fn bad_values_are_refused_by_name() {
    let long = "1".repeat(30);
    let table = [
        ("HOST", "nowhere"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "http"),
        ("DATABASE_URL", "mysql://canary@db/agentidp"),
        ("ROW_CACHE_CAPACITY", "-1"),
        ("ROW_CACHE_CAPACITY", "10000001"),
        ("JWT_PRIVATE_KEY_FILE", "/nowhere/key.pem"),
        ("JWT_ALGORITHM", "HS256"),
        ("JWT_ACCEPTED_KEY_FILES", "/nowhere/key.pem"),
        ("JWT_ISSUER", "idp.example"),
        ("JWT_ISSUER", "https://idp.example/?a=b"),
        ("BCRYPT_COST", "9"),
        ("BCRYPT_COST", "15"),
        ("BCRYPT_COST", "ten"),
        ("RATE_LIMIT_PER_MINUTE", "-1"),
        ("AGENT_LIMIT", "0"),
        ("MONTHLY_TOKEN_LIMIT", &long),
        ("WARM_CAPACITY", "10000001"),
        ("WARM_CAPACITY", "many"),
        ("WARM_VAULT_LIFETIME", "60"),
        ("WARM_VAULT_LIFETIME", "2h"),
        ("WARM_VAULT_STALE", "25h"),
        ("AUDIT_MODE", "none"),
        ("RECONCILE_INTERVAL", "8d"),
        ("RECONCILE_INTERVAL", "169h"),
        ("MAC_KEYS", "k1:canary"),
        ("MAC_KEYS_FILE", "/nowhere/mac-keys"),
        ("SECRET_BACKEND", "argon2"),
        ("UPGRADE_ON_VERIFY", "yes"),
        ("UPGRADE_RATE", "fast"),
        ("END_IDLE_OVERLAPS", "7d"),
        ("UPGRADE_EXCEPT", "agent-7"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "10.0.0.1,"),
        ("CORS_ORIGIN", "https://app.example/"),
        ("CORS_ORIGIN", "app.example"),
        ("MAX_CONNECTIONS", "0"),
        ("REQUEST_TIMEOUT", "30"),
        ("REQUEST_TIMEOUT", "0s"),
        ("IDLE_TIMEOUT", "2h"),
        ("SHUTDOWN_DELAY", "1d"),
        ("SHUTDOWN_TIMEOUT", "1d"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
        ("RUST_LOG", "agentidp_server=loud"),
        ("VAULT_ADDR", "vault.example:8200"),
        ("VAULT_ADDR", "https://vault.example/v1"),
        ("VAULT_ADDR", "https://user:canary@vault.example"),
        ("VAULT_KV_MOUNT", "../sys"),
        ("VAULT_PREFIX", "a//b"),
        ("VAULT_MOUNT", "a b"),
        ("VAULT_NAMESPACE", "a//b"),
        ("VAULT_PROXY", "proxy:3128"),
        ("VAULT_PROXY", "http://user:canary@proxy:3128"),
        ("VAULT_ALLOW_PLAIN_HTTP", "yes"),
        ("VAULT_CONNECT_TIMEOUT", "1ms"),
        ("VAULT_IDLE_TIMEOUT", "2m"),
        ("VAULT_MAX_CONNECTION_AGE", "2h"),
        ("VAULT_READ_TIMEOUT", "soon"),
        ("VAULT_WRITE_TIMEOUT", "2h"),
    ];
    for (name, value) in table {
        let error = config(&[(name, value)]).unwrap_err();
        assert_eq!(error.setting(), name, "{value:?}: {error}");
        assert!(error.to_string().starts_with(name) && !error.to_string().contains('\n'), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

#[test]
fn new_secrets_go_to_the_named_backend_which_has_to_be_there() {
    let keys = ("MAC_KEYS", MAC_KEYS);
    let beside_vault = |backend| config(&[&VAULT[..], &[keys, ("SECRET_BACKEND", backend)]].concat()).unwrap().digests;
    assert_eq!(beside_vault("").new, NewSecrets::Vault);
    for (name, new) in
        [("vault-kv2", NewSecrets::Vault), ("keyed-digest", NewSecrets::Keyed), ("bcrypt", NewSecrets::Bcrypt)]
    {
        assert_eq!(beside_vault(name).new, new);
        assert!(beside_vault(name).mac_keys.is_some(), "what it is not for has to be verified");
    }
    assert_eq!(config(&[("SECRET_BACKEND", "vault-kv2")]).unwrap_err().setting(), "VAULT_ADDR");
    assert_eq!(config(&[("SECRET_BACKEND", "keyed-digest")]).unwrap_err().setting(), "MAC_KEYS_FILE");
}

#[test]
fn keys_are_in_a_setting_or_in_its_file() {
    let keys = ("MAC_KEYS", MAC_KEYS);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mac-keys");
    fs::write(&file, format!("{MAC_KEYS}\n")).unwrap();
    let from_file = ("MAC_KEYS_FILE", file.to_str().unwrap());
    assert!(config(&[from_file]).unwrap().digests.mac_keys.is_some());
    assert_eq!(config(&[from_file, keys]).unwrap_err().setting(), "MAC_KEYS");
    fs::write(&file, "k1:canary\n").unwrap();
    let error = config(&[from_file]).unwrap_err();
    assert_eq!(error.setting(), "MAC_KEYS_FILE");
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
}

#[test]
fn postgresql_needs_a_key_of_its_own() {
    for scheme in ["postgres", "postgresql"] {
        let url = format!("{scheme}://user:canary@db/agentidp");
        let error = config(&[("DATABASE_URL", &url)]).unwrap_err();
        assert_eq!(error.setting(), "JWT_PRIVATE_KEY_FILE");
        assert!(config(&[("DATABASE_URL", &url), ("JWT_PRIVATE_KEY", "pem")]).is_ok());
    }
}

#[test]
fn the_finer_log_filter_wins() {
    let log = config(&[("LOG_LEVEL", "warn"), ("RUST_LOG", "info,agentidp_server=debug")]).unwrap().log;
    assert_eq!(log.filter, "info,agentidp_server=debug");
}

#[test]
fn every_setting_is_in_the_example_file_and_in_the_readme() {
    let names = known_names();
    let example: BTreeSet<_> = include_str!("../../../../.env.example")
        .lines()
        .filter_map(|line| line.trim_start_matches('#').trim().split_once('=').map(|(name, _)| name.to_owned()))
        .filter(|name| is_name(name))
        .collect();
    assert_eq!(example, names, ".env.example");
    let readme: BTreeSet<_> = include_str!("../../../README.md")
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|line| line.split('|').nth(1).into_iter().flat_map(|cell| cell.split('`')))
        .filter(|text| is_name(text))
        .map(str::to_owned)
        .collect();
    assert_eq!(readme, names, "README.md");
}

#[test]
fn misspelt_names_are_held_against_every_setting() {
    assert_eq!(misspelt::settings(), known_names());
}

fn is_name(text: &str) -> bool {
    text.len() > 3 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The names that were asked for, with Vault and without.
fn known_names() -> BTreeSet<String> {
    let names = RefCell::new(BTreeSet::new());
    for settings in [&VAULT[..], &[]] {
        let lookup = |name: &str| {
            names.borrow_mut().insert(name.to_owned());
            settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Config::from_lookup(lookup).unwrap();
    }
    names.into_inner()
}
