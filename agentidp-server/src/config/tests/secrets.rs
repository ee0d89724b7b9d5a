//! What no message and no `Debug` repeats.

use super::*;

#[test]
fn a_secret_is_never_repeated() {
    for (name, value) in [("DATABASE_URL", "mysql://user:canary@db"), ("VAULT_TOKEN", "canary canary")] {
        let address = ("VAULT_ADDR", "http://127.0.0.1:8200");
        let error = config(&[address, (name, value)]).unwrap_err();
        assert_eq!(error.setting(), name);
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

#[test]
fn a_value_where_a_path_was_to_be_is_never_repeated() {
    let hex = "0123456789abcdef".repeat(4);
    let (keys, pem) = (format!("k1:{hex}canary"), "-----BEGIN PRIVATE KEY-----\ncanary");
    let address = ("VAULT_ADDR", "http://127.0.0.1:8200");
    let role = ("VAULT_ROLE_ID", "r");
    let pod = ("VAULT_K8S_ROLE", "r");
    for (name, value, beside, instead) in [
        ("VAULT_TOKEN_FILE", "hvs.canary", address, "use VAULT_TOKEN"),
        ("MAC_KEYS_FILE", &*keys.replace("canary", ""), address, "use MAC_KEYS"),
        ("MAC_KEYS_FILE", &*format!("{keys}\nk2:{hex}"), address, "use MAC_KEYS"),
        ("JWT_PRIVATE_KEY_FILE", pem, address, "use JWT_PRIVATE_KEY"),
        ("JWT_ACCEPTED_KEY_FILES", pem, address, "put it into a file"),
        ("VAULT_SECRET_ID_FILE", "1c2d3a0e-8f0b-4c1f-9d7e-0a4c3f6b2e11", role, "use VAULT_SECRET_ID"),
        ("VAULT_K8S_JWT_FILE", "eyJhbGciOi.canary", pod, "put it into a file"),
        ("SECRET_BACKEND", "hvs.canary", address, "must be bcrypt"),
    ] {
        let mut settings = vec![address, beside, (name, value)];
        if beside == address && name != "VAULT_TOKEN_FILE" {
            settings.push(("VAULT_TOKEN", "hvs.token"));
        }
        let error = config(&settings).unwrap_err();
        assert!(error.setting() == name && error.to_string().contains(instead), "{error}");
        let told = format!("{error} {error:?}");
        assert!(!["canary", "1c2d3a0e", "abcdef"].iter().any(|part| told.contains(part)), "{told}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let config = config(&[
        ("MAC_KEYS", MAC_KEYS),
        ("DATABASE_URL", "postgres://user:canary-1@db/agentidp"),
        ("JWT_PRIVATE_KEY", "canary-2"),
        ("VAULT_ADDR", "https://vault.example"),
        ("VAULT_TOKEN", "canary-3"),
    ])
    .unwrap();
    assert_eq!(token_of(config.vault.as_ref().unwrap()), "canary-3");
    let shown = format!("{config:?} {config:#?}");
    assert!(!shown.contains("canary") && !shown.contains("8d969eef"));
}
