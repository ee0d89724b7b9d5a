//! The settings of Vault.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::*;

fn vault(settings: &[(&str, &str)]) -> Result<Vault, ConfigError> {
    config(&[settings, &VAULT].concat()).map(|config| config.vault.unwrap())
}

#[test]
fn a_secret_comes_from_its_variable_or_its_file_and_never_from_both() {
    let directory = tempfile::tempdir().unwrap();
    let (token, empty) = (directory.path().join("token"), directory.path().join("empty"));
    fs::write(&token, "hvs.from-file\n").unwrap();
    fs::write(&empty, "\n").unwrap();
    let address = ("VAULT_ADDR", "https://vault.example");

    let from_file = config(&[address, ("VAULT_TOKEN_FILE", token.to_str().unwrap())]).unwrap();
    assert!(
        matches!(from_file.vault.unwrap().auth, VaultAuth::TokenFile(path) if path == token),
        "read when it is used"
    );
    let both = [address, ("VAULT_TOKEN", "hvs.a"), ("VAULT_TOKEN_FILE", token.to_str().unwrap())];
    assert_eq!(config(&both).unwrap_err().setting(), "VAULT_TOKEN");
    let unreadable = config(&[address, ("VAULT_TOKEN_FILE", empty.to_str().unwrap())]);
    assert_eq!(unreadable.unwrap_err().setting(), "VAULT_TOKEN_FILE");
    assert_eq!(config(&[address]).unwrap_err().setting(), "VAULT_TOKEN");

    let keys = [("JWT_PRIVATE_KEY", "pem"), ("JWT_PRIVATE_KEY_FILE", token.to_str().unwrap())];
    assert_eq!(config(&keys).unwrap_err().setting(), "JWT_PRIVATE_KEY");
    assert_eq!(config(&keys[1..]).unwrap().jwt.private_key_setting, "JWT_PRIVATE_KEY_FILE");
}

#[test]
fn the_prefix_is_a_folder_below_the_mount() {
    assert_eq!(vault(&[]).unwrap().folder(), "secret/agentidp");
    let named = vault(&[("VAULT_NAMESPACE", "ns1"), ("VAULT_PREFIX", "/team/idp/")]).unwrap();
    assert_eq!((named.prefix.as_str(), named.folder().as_str()), ("team/idp", "ns1/secret/team/idp"));
    assert!(
        vault(&[("VAULT_PREFIX", &"a".repeat(128))]).is_ok() && vault(&[("VAULT_PREFIX", &"a".repeat(129))]).is_err()
    );
}

#[test]
fn the_preferred_name_of_the_mount_wins_with_a_warning() {
    assert_eq!(vault(&[]).unwrap().mount, "secret");
    assert_eq!(vault(&[("VAULT_MOUNT", "kv")]).unwrap().mount, "kv");
    assert_eq!(vault(&[("VAULT_KV_MOUNT", "/team/kv/")]).unwrap().mount, "team/kv");
    let same = config(&[("VAULT_KV_MOUNT", "kv"), ("VAULT_MOUNT", "kv/")]).unwrap();
    assert!(same.warnings.is_empty());
    let differ = [("VAULT_KV_MOUNT", "kv"), ("VAULT_MOUNT", "old")];
    assert_eq!(vault(&differ).unwrap().mount, "kv");
    assert!(config(&differ).unwrap().warnings[0].contains("VAULT_MOUNT"));
}

#[test]
fn plain_http_stays_on_this_machine() {
    for loopback in ["http://127.0.0.1:8200", "http://[::1]:8200/", "http://localhost", "https://vault.example"] {
        assert!(config(&[("VAULT_ADDR", loopback), ("VAULT_TOKEN", "t")]).is_ok(), "{loopback}");
    }
    let away = [("VAULT_ADDR", "http://vault.example:8200"), ("VAULT_TOKEN", "t"), ("VAULT_ALLOW_PLAIN_HTTP", "true")];
    assert_eq!(config(&away[..2]).unwrap_err().setting(), "VAULT_ADDR");
    assert!(config(&away).unwrap().vault.unwrap().allow_plain_http);
    assert!(config(&[("VAULT_ADDR", "unix:///run/agent.sock"), ("VAULT_TOKEN", "t")]).is_ok());
    let mixed = [("VAULT_ADDR", "https://a:8200,http://vault.example:8200"), ("VAULT_TOKEN", "t")];
    assert_eq!(config(&mixed).unwrap_err().setting(), "VAULT_ADDR");
}

#[test]
fn vault_may_be_several_nodes() {
    let nodes = [("VAULT_ADDR", "https://a:8200/, https://b:8200"), ("VAULT_TOKEN", "t")];
    assert_eq!(config(&nodes).unwrap().vault.unwrap().address, "https://a:8200,https://b:8200");
    let others = "https://gateway/vault/,unix:///run/agent.sock";
    let vault = config(&[("VAULT_ADDR", others), ("VAULT_TOKEN", "t")]).unwrap().vault.unwrap();
    assert_eq!(vault.address, "https://gateway/vault,unix:///run/agent.sock");
    for list in [
        "https://a/v1",
        "https://a?b",
        "https://u@a",
        "unix://run/s",
        "https://a,",
        "https://a,,https://b",
        "https://a,b",
        "https://a;https://b",
    ] {
        let error = config(&[("VAULT_ADDR", list), ("VAULT_TOKEN", "t")]).unwrap_err();
        assert_eq!(error.setting(), "VAULT_ADDR", "{list}");
    }
}

#[test]
fn the_other_vault_settings_arrive() {
    let directory = tempfile::tempdir().unwrap();
    let (pem, other) = (directory.path().join("ca.pem"), directory.path().join("other"));
    fs::write(&pem, "-----BEGIN CERTIFICATE-----\n...").unwrap();
    fs::write(&other, "no certificate").unwrap();
    let vault_with_all = vault(&[
        ("VAULT_NAMESPACE", "team/apps"),
        ("VAULT_CACERT", pem.to_str().unwrap()),
        ("VAULT_PROXY", "http://proxy.example:3128"),
        ("VAULT_CONNECT_TIMEOUT", "100ms"),
        ("VAULT_IDLE_TIMEOUT", "5s"),
        ("VAULT_MAX_CONNECTION_AGE", "1m"),
        ("VAULT_READ_TIMEOUT", "3s"),
        ("VAULT_WRITE_TIMEOUT", "4s"),
    ])
    .unwrap();
    assert_eq!(vault_with_all.namespace.as_deref(), Some("team/apps"));
    assert!(vault_with_all.ca_cert_pem.unwrap().starts_with("-----BEGIN"));
    assert_eq!(vault_with_all.proxy.as_deref(), Some("http://proxy.example:3128"));
    assert_eq!(vault_with_all.connect_timeout, Duration::from_millis(100));
    assert_eq!(vault_with_all.idle_timeout, Duration::from_secs(5));
    assert_eq!(vault_with_all.max_connection_age, Duration::from_secs(60));
    assert_eq!(vault_with_all.read_timeout, Duration::from_secs(3));
    assert_eq!(vault_with_all.write_timeout, Duration::from_secs(4));
    assert_eq!(
        vault(&[("VAULT_TLS_SERVER_NAME", "vault.internal")]).unwrap().tls_server_name.unwrap(),
        "vault.internal"
    );
    assert_eq!(vault(&[("VAULT_TLS_SERVER_NAME", "a:1")]).unwrap_err().setting(), "VAULT_TLS_SERVER_NAME");
    let top = vault(&[("VAULT_AUTH_NAMESPACE", "/"), ("VAULT_NAMESPACE", "team")]).unwrap();
    assert_eq!((top.auth_namespace.as_deref(), top.namespace.as_deref()), (Some(""), Some("team")));
    assert!(["/", "root"].map(|name| vault(&[("VAULT_NAMESPACE", name)]).unwrap().namespace) == [None, None]);
    assert_eq!(vault(&[("VAULT_CACERT", other.to_str().unwrap())]).unwrap_err().setting(), "VAULT_CACERT");
    assert_eq!(vault(&[("VAULT_CACERT", "/nowhere")]).unwrap_err().setting(), "VAULT_CACERT");
}

#[test]
fn the_way_to_a_token_is_the_one_that_is_set() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret-id");
    fs::write(&file, "from-file\n").unwrap();
    let path = file.to_str().unwrap();
    let address = ("VAULT_ADDR", "https://vault.example");
    let auth =
        |settings: &[(&str, &str)]| config(&[settings, &[address]].concat()).map(|found| found.vault.unwrap().auth);

    let role = [("VAULT_ROLE_ID", "canary-1"), ("VAULT_SECRET_ID", "canary-2"), ("VAULT_AUTH_MOUNT", "/team/approle/")];
    let VaultAuth::AppRole { role_id, secret_id: Some(SecretId::Text(secret_id)), wrapped: false, mount } =
        auth(&role).unwrap()
    else {
        panic!("no AppRole");
    };
    assert_eq!((role_id.expose_secret(), secret_id.expose_secret()), ("canary-1", "canary-2"));
    assert_eq!(mount.as_deref(), Some("team/approle"));
    assert!(!format!("{:?}", auth(&role).unwrap()).contains("canary"));
    let from_file = auth(&[("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID_FILE", path)]).unwrap();
    assert!(
        matches!(from_file, VaultAuth::AppRole { secret_id: Some(SecretId::File(found)), mount: None, .. } if found == file)
    );

    let bare = auth(&[("VAULT_ROLE_ID", "r")]).unwrap();
    assert!(matches!(bare, VaultAuth::AppRole { secret_id: None, .. }), "the role may ask for none");
    let wrapped = auth(&[("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID", "s"), ("VAULT_SECRET_ID_WRAPPED", "true")]);
    assert!(matches!(wrapped.unwrap(), VaultAuth::AppRole { wrapped: true, .. }));
    assert!(matches!(auth(&[("VAULT_AUTH", "agent")]).unwrap(), VaultAuth::Agent));

    let pod = auth(&[("VAULT_K8S_ROLE", "agentidp")]).unwrap();
    assert!(matches!(pod, VaultAuth::Kubernetes { role, jwt_file: None, mount: None } if role == "agentidp"));
    let elsewhere =
        auth(&[("VAULT_AUTH", "kubernetes"), ("VAULT_K8S_ROLE", "r"), ("VAULT_K8S_JWT_FILE", path)]).unwrap();
    assert!(matches!(elsewhere, VaultAuth::Kubernetes { jwt_file: Some(found), .. } if found == file));
}

#[test]
fn several_ways_to_a_token_need_a_word_and_half_a_way_is_refused() {
    let address = ("VAULT_ADDR", "https://vault.example");
    let both = [address, ("VAULT_TOKEN", "t"), ("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID", "s")];
    let refused = config(&both).unwrap_err();
    assert_eq!(refused.setting(), "VAULT_AUTH");
    assert!(refused.to_string().contains("VAULT_TOKEN and VAULT_ROLE_ID"), "{refused}");
    let named = config(&[&both[..], &[("VAULT_AUTH", "approle")]].concat()).unwrap();
    assert!(named.warnings[0].starts_with("VAULT_TOKEN is not used"), "{:?}", named.warnings);
    assert!(matches!(named.vault.unwrap().auth, VaultAuth::AppRole { .. }));

    for (settings, missing) in [
        (vec![("VAULT_AUTH", "approle")], "VAULT_ROLE_ID"),
        (vec![("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID_WRAPPED", "true")], "VAULT_SECRET_ID"),
        (vec![("VAULT_SECRET_ID", "s")], "VAULT_ROLE_ID"),
        (vec![("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID", "s"), ("VAULT_SECRET_ID_FILE", "f")], "VAULT_SECRET_ID"),
        (vec![("VAULT_ROLE_ID", "r"), ("VAULT_SECRET_ID_FILE", "/nowhere")], "VAULT_SECRET_ID_FILE"),
        (vec![("VAULT_AUTH", "kubernetes")], "VAULT_K8S_ROLE"),
        (vec![("VAULT_K8S_JWT_FILE", "f")], "VAULT_K8S_ROLE"),
        (vec![("VAULT_AUTH", "token")], "VAULT_TOKEN"),
        (vec![("VAULT_AUTH", "cert")], "VAULT_AUTH"),
        (vec![("VAULT_TOKEN", "t"), ("VAULT_AUTH_MOUNT", "a b")], "VAULT_AUTH_MOUNT"),
    ] {
        let refused = config(&[&settings[..], &[address]].concat()).unwrap_err();
        assert_eq!(refused.setting(), missing, "{settings:?}: {refused}");
    }
}

#[test]
fn a_client_certificate_goes_with_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("certificate"), directory.path().join("key"));
    fs::write(&certificate, "-----BEGIN CERTIFICATE-----\n...").unwrap();
    fs::write(&key, "canary").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let certificate = ("VAULT_CLIENT_CERT", certificate.to_str().unwrap());
    let key = ("VAULT_CLIENT_KEY", key.to_str().unwrap());
    let warnings = config(&[&[certificate, key], &VAULT[..]].concat()).unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].starts_with("VAULT_CLIENT_KEY names"), "{warnings:?}");
    let both = vault(&[certificate, key]).unwrap();
    assert!(!format!("{both:?}").contains("canary"));
    assert_eq!(both.client_cert.unwrap().1.expose_secret(), "canary");
    assert_eq!(vault(&[certificate]).unwrap_err().setting(), "VAULT_CLIENT_KEY");
    assert_eq!(vault(&[key]).unwrap_err().setting(), "VAULT_CLIENT_CERT");
    assert_eq!(vault(&[("VAULT_CLIENT_CERT", key.1)]).unwrap_err().setting(), "VAULT_CLIENT_CERT", "no certificate");
}
