//! Starts that are refused: one line that names the setting and the mend, and exit code 2.

use std::fs;

use serde_json::json;

use crate::binary::Place;
use crate::support;

/// The one line of a start that is refused.
async fn refusal(place: &Place, settings: &[(&str, &str)]) -> String {
    let output = place.run(&[], &[&[("PORT", "0"), ("RUST_LOG", "off")], settings].concat()).await;
    assert_eq!(output.status.code(), Some(2), "{settings:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[tokio::test]
async fn a_bad_setting_is_named_in_one_line() {
    let place = Place::new();
    fs::write(place.path().join("pem"), "not a key").unwrap();
    fs::write(place.path().join("occupied"), "a file").unwrap();
    let table: [(&[(&str, &str)], &str); 17] = [
        (&[("PORT", "http")], "PORT must be a number"),
        (&[("HOST", "example.org")], "HOST must be an IP address"),
        (&[("DATABASE_URL", "mysql://u:canary@h/d")], "DATABASE_URL must begin with"),
        (&[("DATABASE_URL", "postgres://u:canary@h/d")], "JWT_PRIVATE_KEY_FILE is missing while DATABASE_URL names"),
        (&[("JWT_PRIVATE_KEY", "canary")], "JWT_PRIVATE_KEY is not a PEM"),
        (&[("JWT_PRIVATE_KEY_FILE", "pem")], "JWT_PRIVATE_KEY_FILE is not a PEM"),
        (&[("JWT_PRIVATE_KEY", "a"), ("JWT_PRIVATE_KEY_FILE", "pem")], "JWT_PRIVATE_KEY and JWT_PRIVATE_KEY_FILE"),
        (&[("AGENTIDP_DATA_DIR", "occupied")], "AGENTIDP_DATA_DIR names occupied, which cannot be used"),
        (&[("VAULT_ADDR", "http://127.0.0.1:1")], "VAULT_TOKEN is missing while VAULT_ADDR is set"),
        (&[("VAULT_ADDR", "http://vault.example"), ("VAULT_TOKEN", "canary")], "VAULT_ADDR is plain http"),
        (&[("BCRYPT_COST", "99")], "BCRYPT_COST must be"),
        (&[("DATABASE_URL", "postgres://u:canary@a,b/d")], "DATABASE_URL names several hosts"),
        (&[("DATABASE_URL", "postgres://a/d?target_session_attrs=primary")], "DATABASE_URL has target_session_attrs"),
        (&[("DATABASE_URL", "postgres://a/d?passfile=canary")], "DATABASE_URL has the parameter \"passfile\""),
        (&[("TOKEN_PROFILE", "jwt2")], "TOKEN_PROFILE must be jwt or rfc9068"),
        (&[("TOKEN_PROFILE", "rfc9068"), ("HOST", "::")], "TOKEN_PROFILE is rfc9068, whose tokens name an issuer"),
        (&[("LOG_FORMAT", "xml")], "LOG_FORMAT must be text or json"),
    ];
    for (settings, beginning) in table {
        let line = refusal(&place, settings).await;
        assert!(line.starts_with(&format!("agentidp-server: {beginning}")), "{line}");
        assert!(!line.contains("canary"), "{line}");
    }
}

#[tokio::test]
async fn a_bad_line_of_the_file_is_placed() {
    let place = Place::new();
    fs::write(place.path().join(".env"), "HOST=127.0.0.1\nVAULT_TOKEN=canary canary\n").unwrap();
    let line = refusal(&place, &[]).await;
    assert!(line.contains(".env cannot be understood after the line of HOST") && !line.contains("canary"), "{line}");
}

#[tokio::test]
async fn a_mount_that_cannot_work_is_refused() {
    let bao = support::bao();
    let version_1 = bao.fresh_mount(1).await;
    let line = refusal(
        &Place::new(),
        &[("VAULT_ADDR", bao.address()), ("VAULT_TOKEN", bao.root_token()), ("VAULT_KV_MOUNT", &version_1.name)],
    )
    .await;
    assert!(line.contains("VAULT_KV_MOUNT") && line.contains("is KV version 1"), "{line}");

    let mount = bao.fresh_mount(2).await;
    for token in [&mount.policy_token, bao.root_token()] {
        let settings = [("VAULT_ADDR", bao.address()), ("VAULT_TOKEN", token), ("VAULT_KV_MOUNT", "nowhere")];
        let line = refusal(&Place::new(), &settings).await;
        assert!(line.contains("VAULT_KV_MOUNT") && line.contains("nothing is mounted at `nowhere`"), "{line}");
    }
}

#[tokio::test]
async fn a_login_that_vault_refuses_is_refused() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let role = bao.app_role(&mount, json!({})).await;
    let settings = [
        ("VAULT_ADDR", bao.address()),
        ("VAULT_ROLE_ID", &role.role_id),
        ("VAULT_SECRET_ID", "canary"),
        ("VAULT_AUTH_MOUNT", &role.mount),
        ("VAULT_KV_MOUNT", &mount.name),
    ];
    let line = refusal(&Place::new(), &settings).await;
    assert!(line.contains("VAULT_ROLE_ID") && line.contains("refuses the AppRole login"), "{line}");
    assert!(!line.contains("canary"), "{line}");
}

#[tokio::test]
async fn a_dead_token_is_refused() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    bao.revoke_token(&mount.policy_token).await;
    let settings =
        [("VAULT_ADDR", bao.address()), ("VAULT_TOKEN", &mount.policy_token), ("VAULT_KV_MOUNT", &mount.name)];
    let line = refusal(&Place::new(), &settings).await;
    assert!(line.contains("VAULT_TOKEN") && line.contains("dead"), "{line}");
    assert!(!line.contains(&mount.policy_token));
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let place = Place::new();
    let running = place.serve(&[]).await;
    let port = running.origin.rsplit_once(':').unwrap().1;
    let output = Place::new().run(&[], &[("PORT", port), ("RUST_LOG", "off")]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("agentidp-server: PORT"));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_no_setting_s_fault() {
    let place = Place::new();
    place.operator(&[]).await;
    let key = place.data("jwt-key.pem");
    let url = "postgres://user:canary@127.0.0.1:1/agentidp";
    let settings = [("DATABASE_URL", url), ("JWT_PRIVATE_KEY_FILE", key.to_str().unwrap())];
    for command in ["serve", "migrate"] {
        let output = place.run(&[command], &settings).await;
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(
            line.contains("DATABASE_URL names a database that cannot be used") && line.lines().count() == 1,
            "{line}"
        );
        assert!(!line.contains("canary"), "{line}");
    }
}

#[tokio::test]
async fn a_damaged_data_directory_is_named() {
    let place = Place::new();
    fs::create_dir(place.data("")).unwrap();
    fs::write(place.data("agentidp.db"), "this is no database, however long it may be made to look").unwrap();
    let output = place.run(&["migrate"], &[]).await;
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), line.lines().count()), (Some(1), 1), "{line}");
    assert!(line.contains("AGENTIDP_DATA_DIR holds a database that cannot be used"), "{line}");

    fs::write(place.data("jwt-key.pem"), "no key").unwrap();
    let line = refusal(&place, &[]).await;
    assert!(line.contains("AGENTIDP_DATA_DIR has a") && line.contains("delete it to get a new one"), "{line}");
}
