//! `check` on a real OpenBao: what is missing is named, and only that.

use std::os::unix::fs::PermissionsExt;

use reqwest::Method;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use crate::binary::Place;
use crate::database_clock::set_database_clock;
use crate::support;

/// Exit code and table.
async fn check(place: &Place, settings: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = place.run(&["check"], settings).await;
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn failures(table: &str) -> Vec<&str> {
    table.lines().filter(|line| line.starts_with("FAIL")).collect()
}

#[tokio::test]
async fn without_settings_all_is_well_before_and_after_a_first_start() {
    let place = Place::new();
    let (code, table) = check(&place, &[]).await;
    assert_eq!(code, Some(0), "{table}");
    assert!(!place.data("").exists(), "a check makes nothing");
    place.serve(&[]).await.stop().await;
    let (code, table) = check(&place, &[]).await;
    assert!(code == Some(0) && table.contains("answers") && table.contains("All is well."), "{table}");
}

#[tokio::test]
async fn the_least_privilege_token_passes_and_leaves_nothing_behind() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let settings =
        [("VAULT_ADDR", bao.address()), ("VAULT_TOKEN", &mount.policy_token), ("VAULT_KV_MOUNT", &mount.name)];
    let (code, table) = check(&Place::new(), &settings).await;
    assert_eq!(code, Some(0), "{table}");
    for right in ["right create", "right read", "right update", "right delete"] {
        assert!(table.lines().any(|line| line.starts_with("ok") && line.contains(right)), "{table}");
    }
    assert!(table.contains("which works for ever"), "{table}");
    let folder = format!("{}/metadata/agentidp/agents/check/credentials?list=true", mount.name);
    assert_eq!(bao.call(bao.root_token(), Method::GET, &folder, None).await.0, 404);
}

#[tokio::test]
async fn each_right_that_is_missing_is_named_with_the_policy_to_paste() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let rights = [("data", "create"), ("data", "read"), ("data", "update"), ("data", "delete"), ("metadata", "delete")];
    for (branch, missing) in rights {
        let left = |of: &str| {
            let kept = rights.iter().filter(|right| right.0 == of && **right != (branch, missing));
            kept.map(|right| format!("\"{}\"", right.1)).collect::<Vec<_>>().join(", ")
        };
        let rules: Vec<_> = ["data", "metadata"]
            .into_iter()
            .filter(|of| !left(of).is_empty())
            .map(|of| format!("path \"{}/{of}/agentidp/*\" {{ capabilities = [{}] }}\n", mount.name, left(of)))
            .collect();
        let policy = format!("{}-without-{branch}-{missing}", mount.name);
        bao.write_policy(&policy, &rules.concat()).await;
        let token = bao.create_token(json!({ "policies": [policy], "period": "768h" })).await;
        let settings = [("VAULT_ADDR", bao.address()), ("VAULT_TOKEN", &token), ("VAULT_KV_MOUNT", &mount.name)];
        let (code, table) = check(&Place::new(), &settings).await;

        assert_eq!(code, Some(1), "{branch} {missing}: {table}");
        let path = format!("{}/{branch}/agentidp/*", mount.name);
        let named = |line: &&str| line.contains(&format!("right {missing}")) && line.contains(&path);
        assert!(failures(&table).iter().any(named), "{branch} {missing}: {table}");
        // A first version cannot be made without `create`, so `update` goes untried with it.
        let expected = if missing == "create" { 2 } else { 1 };
        assert_eq!(failures(&table).len(), expected, "{branch} {missing}: {table}");
        assert!(table.contains("bao policy write agentidp -") && table.contains("[\"create\", \"read\""), "{table}");
        assert!(!table.contains(&token), "{table}");
    }
}

#[tokio::test]
async fn a_mount_that_keeps_too_few_versions_is_named_with_the_setting_to_change() {
    let bao = support::bao();
    let table = [
        (json!({ "max_versions": 3 }), "10", "set VAULT_MAX_VERSIONS=3, or max_versions of the mount"),
        (json!({ "max_versions": 3 }), "3", ""),
        (json!({ "max_versions": 1 }), "10", "set max_versions of the mount to 2 or more"),
        (json!({ "delete_version_after": "1h" }), "10", "set delete_version_after of the mount to 0s"),
    ];
    for (config, expected, advice) in table {
        let mount = bao.fresh_mount(2).await;
        bao.root(Method::POST, &format!("{}/config", mount.name), config.clone()).await;
        let settings = [
            ("VAULT_ADDR", bao.address()),
            ("VAULT_TOKEN", &mount.policy_token),
            ("VAULT_KV_MOUNT", &mount.name),
            ("VAULT_MAX_VERSIONS", expected),
        ];
        let (code, table) = check(&Place::new(), &settings).await;
        assert_eq!(code, Some(i32::from(!advice.is_empty())), "{config}: {table}");
        let failed = failures(&table);
        assert!(advice.is_empty() || (failed.len() == 1 && failed[0].contains(advice)), "{config}: {table}");
    }
}

#[tokio::test]
async fn clocks_that_differ_by_more_than_a_minute_fail() {
    let url = support::postgres().fresh_database().await;
    let place = Place::new();
    place.operator(&[]).await;
    let key = place.data("jwt-key.pem").to_str().unwrap().to_owned();
    let settings = [("DATABASE_URL", url.as_str()), ("JWT_PRIVATE_KEY_FILE", key.as_str())];
    let (code, table) = check(&place, &settings).await;
    assert!(code == Some(0) && table.lines().any(|line| line.starts_with("ok") && line.contains("clocks")), "{table}");
    place.serve(&settings).await.stop().await;
    assert!(!place.log().contains("clock"), "{}", place.log());

    set_database_clock(&url, "pg_catalog.clock_timestamp() + interval '91 days'").await;
    let (code, table) = check(&place, &settings).await;
    assert_eq!(code, Some(1), "{table}");
    let failed = failures(&table);
    assert!(failed.len() == 1 && failed[0].contains("this machine's clock is 786"), "{table}");
    assert!(table.contains("set them by NTP"), "{table}");
    place.serve(&settings).await.stop().await;
    assert_eq!(place.log().matches("s behind the database's").count(), 1, "{}", place.log());
}

#[tokio::test]
async fn a_dead_token_is_told_from_a_wrong_mount_and_from_an_outage() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let with = async |address: &str, token: &str, mount: &str| {
        let settings = [("VAULT_ADDR", address), ("VAULT_TOKEN", token), ("VAULT_KV_MOUNT", mount)];
        let (code, table) = check(&Place::new(), &settings).await;
        assert_eq!(code, Some(1), "{table}");
        assert_eq!(failures(&table).len(), 1, "{table}");
        table
    };
    let dead = with(bao.address(), "hvs.dead", &mount.name).await;
    assert!(
        failures(&dead)[0].contains("Vault token") && dead.contains("bao token create -orphan -period=768h"),
        "{dead}"
    );
    let nowhere = with(bao.address(), &mount.policy_token, "nowhere").await;
    assert!(failures(&nowhere)[0].contains("Vault mount"), "{nowhere}");
    let version_1 = with(bao.address(), bao.root_token(), &bao.fresh_mount(1).await.name).await;
    assert!(failures(&version_1)[0].contains("KV version 1"), "{version_1}");
    assert!(!version_1.contains("bao policy write"), "no policy helps: {version_1}");
    let outage = with("http://127.0.0.1:1", "hvs.any", "secret").await;
    assert!(failures(&outage)[0].contains("Vault address"), "{outage}");
}

#[tokio::test]
async fn a_login_is_tried_and_its_token_described() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let role = bao.app_role(&mount, json!({ "token_ttl": "150m", "token_max_ttl": "4h" })).await;
    let with = async |secret_id: &str| {
        let settings = [
            ("VAULT_ADDR", bao.address()),
            ("VAULT_ROLE_ID", &role.role_id),
            ("VAULT_SECRET_ID", secret_id),
            ("VAULT_AUTH_MOUNT", &role.mount),
            ("VAULT_KV_MOUNT", &mount.name),
        ];
        check(&Place::new(), &settings).await
    };
    let (code, table) = with(&role.secret_id).await;
    assert_eq!(code, Some(0), "{table}");
    let line = table.lines().find(|line| line.contains("Vault token")).unwrap();
    assert!(line.starts_with("ok"), "{table}");
    for text in ["AppRole login: ttl", "ttl 2 hours", "renewable", "no period", "logs in again"] {
        assert!(line.contains(text), "{text} is not in {line}");
    }
    let (code, table) = with("canary").await;
    assert_eq!(code, Some(1), "{table}");
    assert!(failures(&table)[0].contains("VAULT_SECRET_ID") && !table.contains("canary"), "{table}");
    assert!(!table.contains("bao token create"), "no token would help: {table}");
}

#[tokio::test]
async fn a_token_that_cannot_live_on_is_noted() {
    let bao = support::bao();
    let mount = bao.fresh_mount(2).await;
    let with = async |token: &str| {
        let settings = [("VAULT_ADDR", bao.address()), ("VAULT_TOKEN", token), ("VAULT_KV_MOUNT", &mount.name)];
        let (code, table) = check(&Place::new(), &settings).await;
        assert_eq!(code, Some(0), "{table}");
        table.lines().find(|line| line.contains("Vault token")).unwrap().to_owned()
    };
    let policies = [mount.name.as_str()];
    let documented = bao.create_token(json!({ "policies": policies, "ttl": "8760h" })).await;
    assert!(with(&documented).await.contains("cannot be renewed for ever"));
    let limited = json!({ "policies": policies, "period": "768h", "explicit_max_ttl": "1h" });
    assert!(
        with(&bao.create_token(limited).await).await.contains("it ends 60 minutes after it was made, renewed or not")
    );
    let batch = bao.create_token(json!({ "policies": policies, "ttl": "5h", "type": "batch" })).await;
    assert!(with(&batch).await.contains("not renewable, no period"));
    let unable = bao.create_token(json!({ "policies": policies, "period": "768h", "no_default_policy": true })).await;
    assert!(with(&unable).await.contains("default policy"));
    assert!(with(bao.root_token()).await.contains("root token"));
}

/// Runs SQL on the embedded database of a place.
async fn sql(place: &Place, sql: &'static str) {
    let url = format!("sqlite:{}", place.data("agentidp.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_to_fails() {
    let (code, table) = check(&Place::new(), &[("AGENTIDP_DATA_DIR", "/proc/agentidp")]).await;
    assert_eq!(code, Some(1), "{table}");
    assert!(failures(&table)[0].contains("AGENTIDP_DATA_DIR"), "{table}");
}

/// What stops `serve` is tried here.
#[tokio::test]
async fn a_folder_or_an_address_that_cannot_be_used_fails_and_nothing_is_made() {
    let place = Place::new();
    let database = ("DATABASE_URL", "sqlite:other.db");
    let (code, table) = check(&place, &[database, ("AGENTIDP_DATA_DIR", "/proc/agentidp")]).await;
    assert_eq!((code, failures(&table).len()), (Some(1), 1), "{table}");
    assert!(failures(&table)[0].contains("cannot be generated at /proc/agentidp/jwt-key.pem"), "{table}");
    let (code, table) = check(&place, &[("DATABASE_URL", "sqlite:/proc/other.db")]).await;
    assert_eq!((code, failures(&table).len()), (Some(1), 1), "{table}");
    let (code, table) = check(&place, &[database]).await;
    assert!(code == Some(0) && table.contains("will be made at other.db"), "{table}");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "a check makes nothing");

    // An address of documentation only, which no machine has.
    let (code, table) = check(&place, &[("HOST", "192.0.2.1")]).await;
    assert_eq!((code, failures(&table).len()), (Some(1), 1), "{table}");
    assert!(failures(&table)[0].contains("192.0.2.1:3000, which cannot be listened on"), "{table}");
    let running = place.serve(&[]).await;
    let port = running.origin.rsplit_once(':').unwrap().1;
    let (code, table) = check(&place, &[("PORT", port)]).await;
    assert_eq!(code, Some(0), "{table}");
    assert!(table.lines().any(|line| line.starts_with("note") && line.contains("is in use")), "{table}");
}

#[tokio::test]
async fn a_role_that_may_not_create_tables_fails_while_migrations_are_missing() {
    let url = support::postgres().fresh_database().await;
    let place = Place::new();
    place.operator(&[]).await;
    let key = place.data("jwt-key.pem").to_str().unwrap().to_owned();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let role = format!("limited_{}", uuid::Uuid::new_v4().simple());
    let create = format!("CREATE ROLE {role} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
    let limited = url.replace("agentidp@", &format!("{role}@"));
    let with = async |url: &str| check(&place, &[("DATABASE_URL", url), ("JWT_PRIVATE_KEY_FILE", &key)]).await;
    let (code, table) = with(&limited).await;
    assert_eq!((code, failures(&table).len()), (Some(1), 1), "{table}");
    assert!(failures(&table)[0].contains("run `agentidp-server migrate` as the owner"), "{table}");
    let (code, table) = with(&url).await;
    assert!(code == Some(0) && table.contains("will be applied by the first start"), "{table}");
}

#[tokio::test]
async fn a_missing_migration_and_a_schema_that_is_newer_are_told_apart() {
    let place = Place::new();
    place.serve(&[]).await.stop().await;
    sql(
        &place,
        "INSERT INTO _sqlx_migrations SELECT 9999, 'newer', installed_on, true, checksum, 0 FROM _sqlx_migrations LIMIT 1",
    )
    .await;
    let (code, table) = check(&place, &[]).await;
    assert_eq!(code, Some(0), "{table}");
    let noted = table.lines().find(|line| line.starts_with("note") && line.contains("migrations"));
    assert!(noted.is_some_and(|line| line.contains("does not know (9999)")), "{table}");
    assert!(!place.log().contains("9999"), "{}", place.log());
    place.serve(&[]).await.stop().await;
    assert_eq!(place.log().matches("migrations that this release does not know (9999)").count(), 1, "{}", place.log());
    sql(&place, "DELETE FROM _sqlx_migrations WHERE version = 15").await;
    let (code, table) = check(&place, &[]).await;
    assert_eq!((code, failures(&table).len()), (Some(1), 1), "{table}");
    assert!(failures(&table)[0].contains("15 of an older release is missing"), "{table}");
}

#[tokio::test]
async fn rows_whose_backend_is_not_configured_are_counted_at_the_start_and_fail_the_check() {
    let place = Place::new();
    let operator = place.operator(&[]).await;
    let running = place.serve(&[]).await;
    for _ in 0..3 {
        running.agent_with_credential(&operator).await;
    }
    let client = running.agent_with_credential(&operator).await;
    running.stop().await;
    sql(
        &place,
        "UPDATE credentials SET vault_path = 'secret/data/agentidp/agents/a/credentials/' || credential_id, secret_hash = NULL, \
         vault_version = 1 WHERE credential_id IN (SELECT credential_id FROM credentials ORDER BY created_at LIMIT 3)",
    )
    .await;
    let (code, table) = check(&place, &[]).await;
    assert_eq!((code, failures(&table).len()), (Some(1), 1), "{table}");
    assert!(failures(&table)[0].contains("3 active credentials need it") && table.contains("VAULT_ADDR"), "{table}");
    let running = place.serve(&[]).await;
    assert_eq!(place.log().matches("3 active credentials need vault-kv2").count(), 1, "{}", place.log());
    let metrics = reqwest::get(format!("{}/metrics", running.origin)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("agentidp_credentials_unconfigured{backend=\"vault-kv2\"} 3"), "{metrics}");
    assert_eq!(running.token(&client).await.0, 200, "it serves the others");
}

/// No key that anybody would guess from one of its digits.
fn hex_of_32_bytes() -> String {
    (1..=32_u8).map(|byte| format!("{:02x}", byte.wrapping_mul(37))).collect()
}

/// The settings name another folder than the rows.
#[tokio::test]
async fn rows_in_another_folder_are_counted_at_the_start_and_fail_the_check() {
    let (bao, place) = (support::bao(), Place::new());
    let (mount, operator) = (bao.fresh_mount(2).await, place.operator(&[]).await);
    let vault = [("VAULT_ADDR", bao.address()), ("VAULT_TOKEN", bao.root_token()), ("VAULT_KV_MOUNT", &mount.name)];
    let running = place.serve(&vault).await;
    let client = running.agent_with_credential(&operator).await;
    running.stop().await;
    assert_eq!(check(&place, &vault).await.0, Some(0));
    let elsewhere = [&vault[..], &[("VAULT_PREFIX", "other")]].concat();
    let (code, table) = check(&place, &elsewhere).await;
    let needs = format!("1 active credentials need a folder in it other than {}/other", mount.name);
    assert!(code == Some(1) && table.contains(&needs) && table.contains("VAULT_PREFIX"), "{table}");
    let running = place.serve(&elsewhere).await;
    assert_eq!(
        place.log().matches("1 active credentials need vault-kv2 in a folder other").count(),
        1,
        "{}",
        place.log()
    );
    let metrics = reqwest::get(format!("{}/metrics", running.origin)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("agentidp_credentials_unconfigured{backend=\"vault-kv2\"} 1"), "{metrics}");
    assert_ne!(running.token(&client).await.0, 200);
}

/// The ring has a key, and not the one of these rows: they verify nothing.
#[tokio::test]
async fn a_key_that_rows_need_and_no_setting_names_is_named() {
    let place = Place::new();
    let operator = place.operator(&[]).await;
    let [first, second] = ["k1", "k2"].map(|id| format!("{id}:{}", hex_of_32_bytes()));
    let backend = ("SECRET_BACKEND", "keyed-digest");
    let running = place.serve(&[backend, ("MAC_KEYS", &first)]).await;
    let client = running.agent_with_credential(&operator).await;
    running.stop().await;
    for (keys, is_lacking) in [(second.clone(), true), (String::new(), true), (format!("{second}\n{first}"), false)] {
        let settings = [("MAC_KEYS", keys.as_str())];
        let (code, table) = check(&place, &settings).await;
        assert_eq!((code, failures(&table).len()), (Some(is_lacking.into()), usize::from(is_lacking)), "{table}");
        assert_eq!(
            table.contains("1 active credentials need its key k1, which is not configured"),
            is_lacking,
            "{table}"
        );
    }
    let running = place.serve(&[("MAC_KEYS", &second)]).await;
    let line = "1 active credentials need keyed-digest with the key k1, which is not configured";
    assert_eq!(place.log().matches(line).count(), 1, "{}", place.log());
    let metrics = reqwest::get(format!("{}/metrics", running.origin)).await.unwrap().text().await.unwrap();
    let gauge = "agentidp_credentials_unconfigured{backend=\"keyed-digest\",key=\"k1\"} 1";
    assert!(metrics.contains(gauge), "{metrics}");
    assert_ne!(running.token(&client).await.0, 200);
}

#[tokio::test]
async fn files_that_every_user_may_read_are_named_and_the_database_is_for_its_owner() {
    let place = Place::new();
    let keys = place.path().join("mac-keys");
    std::fs::write(&keys, format!("k1:{}", hex_of_32_bytes())).unwrap();
    let mode = |path: &std::path::Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let settings = [("MAC_KEYS_FILE", keys.to_str().unwrap()), ("DATABASE_URL", "sqlite:other.db")];
    for (given, warned) in [(0o644, true), (0o640, false)] {
        mode(&keys, given);
        let (code, table) = check(&place, &settings).await;
        assert!(!table.is_empty());
        assert_eq!(table.contains("which every user of this machine may read"), warned, "{table}");
        assert_eq!(code, Some(0), "it is a note: {table}");
    }
    place.serve(&settings).await.stop().await;
    let database = std::fs::metadata(place.path().join("other.db")).unwrap().permissions().mode() & 0o777;
    assert_eq!(database, 0o600);
    let file = place.path().join(".env");
    std::fs::write(&file, "MAC_KEYS=k1:none\n").unwrap();
    mode(&file, 0o644);
    let unset = [("MAC_KEYS", ""), ("DATABASE_URL", "sqlite:other.db")];
    assert!(check(&place, &unset).await.1.contains(".env may be read by every user"));
}
