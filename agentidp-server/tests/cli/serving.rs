//! From the first start to the last request.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::binary::{Client, Place, Running, claims};
use crate::support::process::until;
use crate::support::{self, Bao};

#[tokio::test]
async fn the_printed_lines_end_in_an_access_token() {
    let place = Place::new();
    let mut running = place.serve(&[]).await;
    let mut script = String::new();
    while !script.contains("; echo") {
        let line = running.line().await;
        // Everything that is indented is to be pasted.
        if line.starts_with("  ") {
            script.push_str(&line);
            script.push('\n');
        }
    }
    let mut shell = Command::new("sh");
    shell.current_dir(place.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        shell.env_remove(name);
    }
    let mut shell = shell.spawn().unwrap();
    shell.stdin.take().unwrap().write_all(script.as_bytes()).await.unwrap();
    let output = shell.wait_with_output().await.unwrap();
    assert!(output.stderr.is_empty(), "{script}{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["token_type"], "Bearer");
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(running.status(token, Method::GET, "/api/v1/agents").await, 200);

    running.stop().await;
    let mut again = place.serve(&[]).await;
    again.signal("TERM").await;
    assert_eq!(again.rest().await, Vec::<String>::new(), "with an agent there is nothing to explain");
}

#[tokio::test]
async fn what_is_kept_is_for_the_owner_only() {
    let place = Place::new();
    place.serve(&[]).await.stop().await;
    let mode = |name: &str| std::fs::metadata(place.data(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(""), mode("jwt-key.pem"), mode("selector-keys"), mode("agentidp.db")),
        (0o700, 0o600, 0o600, 0o600)
    );
}

#[tokio::test]
async fn an_operator_token_is_all_that_is_printed() {
    let place = Place::new();
    let refused = place.run(&["operator-token"], &[]).await;
    assert_eq!(
        (refused.status.code(), refused.stdout.is_empty()),
        (Some(2), true),
        "there is no key: no server was here"
    );
    assert!(String::from_utf8_lossy(&refused.stderr).contains("in the folder and with the settings of the server"));
    assert!(!place.data("").exists(), "and none is made");
    place.operator(&[]).await;
    let output = place.run(&["operator-token", "--ttl", "90s"], &[("RUST_LOG", "trace")]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let token = text.strip_suffix('\n').unwrap();
    assert_eq!(token.split('.').count(), 3, "{text}");
    assert!(!token.contains(char::is_whitespace));
    let running = place.serve(&[]).await;
    running.agent(token).await;
    assert_eq!(running.status(&token[1..], Method::GET, "/api/v1/agents").await, 401);

    let bad = place.run(&["operator-token", "--ttl", "25h"], &[]).await;
    assert_eq!((bad.status.code(), bad.stdout.is_empty()), (Some(2), true));
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let place = Place::new();
    let operator = place.operator(&[]).await;
    let mut running = place.serve(&[]).await;
    let client = running.agent_with_credential(&operator).await;
    let (kept, revoked) = (running.granted(&client).await, running.granted(&client).await);
    running.revoke_token(&operator, &revoked).await;
    running.signal("KILL").await;
    assert_eq!(running.ended().await, None);
    let again = place.serve(&[]).await;
    assert_eq!(again.status(&operator, Method::GET, &format!("/api/v1/agents/{}", client.id)).await, 200);
    assert_eq!(again.token(&client).await.0, 200);
    assert_eq!(again.status(&kept, Method::GET, "/api/v1/agents").await, 200, "the key is the same");
    assert_eq!(again.status(&revoked, Method::GET, "/api/v1/agents").await, 401);
}

#[tokio::test]
async fn what_vault_has_to_forget_is_kept_over_a_restart() {
    let (place, mut bao) = (Place::new(), Bao::start_own().await);
    let mount = bao.fresh_mount(2).await;
    let (address, operator) = (bao.address().to_owned(), place.operator(&[]).await);
    let settings =
        [("VAULT_ADDR", address.as_str()), ("VAULT_TOKEN", &mount.policy_token), ("VAULT_KV_MOUNT", &mount.name)];
    let running = place.serve(&settings).await;
    let client = running.agent_with_credential(&operator).await;
    assert_eq!(running.token(&client).await.0, 200);

    bao.stop().await;
    let credential = format!("/api/v1/agents/{}/credentials/{}", client.id, client.credential);
    assert_eq!(running.status(&operator, Method::DELETE, &credential).await, 204);
    assert_eq!(running.token(&client).await.0, 401, "it takes effect at once");
    running.stop().await;
    bao.start_again().await;
    let path = format!("{}/data/agentidp/agents/{}/credentials/{}", mount.name, client.id, client.credential);
    assert!(bao.metadata_exists(&path).await, "nobody was there to purge it");

    let again = place.serve(&settings).await;
    until("the purge", async || !bao.metadata_exists(&path).await).await;
    assert_eq!(again.token(&client).await.0, 401);
}

#[tokio::test]
async fn the_environment_wins_over_the_file_even_where_it_is_empty() {
    let place = Place::new();
    // As it stands, the file would be refused for its port and for its Vault.
    let file = "PORT=http\nLOG_FORMAT=json\nVAULT_ADDR=http://vault.example\nVAULT_TOKEN='hvs.any'\n";
    std::fs::write(place.path().join(".env"), file).unwrap();
    place.serve(&[("VAULT_ADDR", "")]).await.stop().await;
    let log = place.log();
    assert!(log.lines().count() > 1);
    for line in log.lines() {
        assert!(serde_json::from_str::<Value>(line).unwrap().is_object(), "the file's format: {line}");
    }
}

#[tokio::test]
async fn a_request_in_progress_is_finished_before_the_end() {
    for signal in ["TERM", "INT"] {
        let place = Place::new();
        let mut running = place.serve(&[]).await;
        let address = running.origin.strip_prefix("http://").unwrap().to_owned();
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let head = "POST /api/v1/token HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 29\r\n\
                    Content-Type: application/x-www-form-urlencoded\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server asks for the body: the request is in a handler's hands.
        let mut interim = [0; 25];
        stream.read_exact(&mut interim).await.unwrap();
        assert!(interim.starts_with(b"HTTP/1.1 100 Continue"));

        running.signal(signal).await;
        while TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        stream.write_all(b"grant_type=client_credentials").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert_eq!(running.ended().await, Some(0));
    }
}

#[tokio::test]
async fn bcrypt_backed_clients_do_without_vault_from_the_start() {
    let place = Place::new();
    let operator = place.operator(&[]).await;
    let running = place.serve(&[]).await;
    let client = running.agent_with_credential(&operator).await;
    running.stop().await;

    // Nothing listens on port 1.
    let degraded = place.serve(&[("VAULT_ADDR", "http://127.0.0.1:1"), ("VAULT_TOKEN", "hvs.any")]).await;
    assert_eq!(degraded.token(&client).await.0, 200);
    let credentials = format!("/api/v1/agents/{}/credentials", client.id);
    assert_eq!(degraded.status(&operator, Method::POST, &credentials).await, 500);
    assert!(place.log().contains("Vault cannot be asked"), "{}", place.log());
}

#[tokio::test]
async fn postgresql_is_brought_up_to_date_and_served() {
    let place = Place::new();
    let url = support::postgres().fresh_database().await;
    place.operator(&[]).await;
    let key = place.data("jwt-key.pem");
    let settings = [("DATABASE_URL", url.as_str()), ("JWT_PRIVATE_KEY_FILE", key.to_str().unwrap())];
    let migrated = place.run(&["migrate"], &settings).await;
    assert_eq!(String::from_utf8(migrated.stdout).unwrap(), "the database is up to date\n");
    let mut running = place.serve(&settings).await;
    let client = running.agent_with_credential(&place.operator(&settings).await).await;
    assert_eq!(running.token(&client).await.0, 200);
    running.signal("TERM").await;
    assert_eq!(running.rest().await, Vec::<String>::new(), "only the embedded default explains itself");
    assert!(place.run(&["check"], &settings).await.status.success());
}

const OTHER_KEYS: &str = "k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92";

/// Selectors are there without a setting: after a restart nothing is known of any secret but that.
#[tokio::test]
async fn a_wrong_secret_costs_no_digest_where_the_server_makes_its_keys() {
    let place = Place::new();
    let operator = place.operator(&[]).await;
    let running = place.serve(&[]).await;
    let client = running.agent_with_credential(&operator).await;
    running.stop().await;
    for (settings, digests) in [(&[][..], false), (&[("MAC_KEYS", OTHER_KEYS)], true)] {
        let running = place.serve(settings).await;
        let mut other = client.secret.clone();
        let last = if other.pop() == Some('a') { 'b' } else { 'a' };
        other.push(last);
        let wrong = Client { id: client.id.clone(), credential: client.credential.clone(), secret: other };
        assert_eq!(running.token(&wrong).await.0, 401);
        let text = reqwest::get(format!("{}/metrics", running.origin)).await.unwrap().text().await.unwrap();
        assert_eq!(
            text.contains("agentidp_verifications_total{backend=\"bcrypt\",outcome=\"mismatch\"} 1"),
            digests,
            "{text}"
        );
        assert_eq!(running.token(&client).await.0, 200);
        running.stop().await;
    }
}

#[tokio::test]
async fn rows_are_served_from_memory_until_they_change() {
    let place = Place::new();
    let url = support::postgres().fresh_database().await;
    place.operator(&[]).await;
    let key = place.data("jwt-key.pem");
    let mut settings = vec![("DATABASE_URL", url.as_str()), ("JWT_PRIVATE_KEY_FILE", key.to_str().unwrap())];
    let operator = place.operator(&settings).await;
    let running = place.serve(&settings).await;
    let client = running.agent_with_credential(&operator).await;
    let hits = async || {
        let text = reqwest::get(format!("{}/metrics", running.origin)).await.unwrap().text().await.unwrap();
        text.contains("agentidp_row_cache_total{outcome=\"hit\"}")
    };
    until("a token without reading", async || {
        assert_eq!(running.token(&client).await.0, 200);
        hits().await
    })
    .await;
    settings.push(("ROW_CACHE_CAPACITY", "0"));
    let other = place.serve(&settings).await;
    let credential = format!("/api/v1/agents/{}/credentials/{}", client.id, client.credential);
    assert_eq!(other.status(&operator, Method::DELETE, &credential).await, 204);
    assert_eq!(other.token(&client).await.0, 401);
    until("the other server's revocation", async || running.token(&client).await.0 == 401).await;
    let untouched = reqwest::get(format!("{}/metrics", other.origin)).await.unwrap().text().await.unwrap();
    assert!(!untouched.contains("agentidp_row_cache_total{"), "{untouched}");
}

/// RFC 8414 §3.3: tokens and metadata have one issuer, and no request decides about it.
#[tokio::test]
async fn an_embedded_server_is_its_own_issuer_and_others_are_told_to_name_theirs() {
    const METADATA: &str = "/.well-known/oauth-authorization-server";
    let place = Place::new();
    let operator = place.operator(&[]).await;
    let metadata = async |running: &Running| {
        let request =
            reqwest::Client::new().get(format!("{}{METADATA}", running.origin)).header("host", "evil.example");
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let running = place.serve(&[]).await;
    let client = running.agent_with_credential(&operator).await;
    let (status, found) = metadata(&running).await;
    assert_eq!((status, &found["issuer"]), (200, &Value::from(running.origin.as_str())));
    assert_eq!(claims(&running.granted(&client).await)["iss"], running.origin.as_str());
    assert!(!place.log().contains("JWT_ISSUER"), "{}", place.log());
    running.stop().await;

    let running = place.serve(&[("HOST", "0.0.0.0")]).await;
    assert_eq!(metadata(&running).await.0, 404);
    assert_eq!(claims(&running.granted(&client).await).get("iss"), None);
    assert_eq!(place.log().matches("JWT_ISSUER is unset").count(), 1, "{}", place.log());
    running.stop().await;

    let issuer = [("HOST", "0.0.0.0"), ("JWT_ISSUER", "https://idp.example/a"), ("TOKEN_PROFILE", "rfc9068")];
    let running = place.serve(&issuer).await;
    assert_eq!(metadata(&running).await.1["issuer"], "https://idp.example/a");
    let said = claims(&running.granted(&client).await);
    assert_eq!((&said["iss"], &said["aud"]), (&said["aud"], &Value::from("https://idp.example/a")));
    for (settings, status) in [(&issuer[..], 200), (&[], 200), (&[("JWT_ISSUER", "https://other.example")], 401)] {
        let operator = place.operator(settings).await;
        assert_eq!(running.status(&operator, Method::GET, "/api/v1/agents").await, status, "{settings:?}");
    }
}

#[tokio::test]
async fn a_misspelt_setting_is_a_warning_at_start_and_in_check() {
    let place = Place::new();
    let settings =
        [("RATE_LIMIT_PER_MINTUE", "canary"), ("VAULT_SKIP_VERIFY", "1"), ("AGENTIDP_PORT", "tcp://10.0.0.1:80")];
    std::fs::write(place.path().join(".env"), "VAULT_TOKN_FILE=canary\n").unwrap();
    place.serve(&settings).await.stop().await;
    let checked = place.run(&["check"], &settings).await;
    let report = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success(), "{report}");
    for text in [place.log(), report] {
        for meant in ["RATE_LIMIT_PER_MINTUE is no setting", "is VAULT_TOKEN_FILE meant?"] {
            assert_eq!(text.matches(meant).count(), 1, "{text}");
        }
        assert!(!text.contains("SKIP_VERIFY") && !text.contains("AGENTIDP_PORT") && !text.contains("canary"), "{text}");
    }
}

/// libpq's form with a user and a port, and the place as a parameter: as for the folder of a socket.
#[tokio::test]
async fn postgresql_is_reached_where_the_host_is_a_parameter() {
    let place = Place::new();
    place.operator(&[]).await;
    let url = support::postgres().fresh_database().await;
    let url = format!("{}?host=127.0.0.1", url.replace("@127.0.0.1", "@"));
    let key = place.data("jwt-key.pem");
    let settings = [("DATABASE_URL", url.as_str()), ("JWT_PRIVATE_KEY_FILE", key.to_str().unwrap())];
    let migrated = place.run(&["migrate"], &settings).await;
    assert!(migrated.status.success(), "{migrated:?}");
}

#[tokio::test]
async fn help_shows_examples_and_the_version_is_told() {
    let place = Place::new();
    let help = String::from_utf8(place.run(&["--help"], &[]).await.stdout).unwrap();
    for part in ["serve", "migrate", "operator-token", "check", "Examples:", "Exit codes:"] {
        assert!(help.contains(part), "{help}");
    }
    let version = String::from_utf8(place.run(&["--version"], &[]).await.stdout).unwrap();
    assert_eq!(version, format!("agentidp-server {}\n", env!("CARGO_PKG_VERSION")));
}
