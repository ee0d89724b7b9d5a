//! What the Vault backend sends, and how it takes answers that a real server cannot be made to give.

use std::error::Error as _;
use std::time::Duration;

use agentidp_secrets::vault::{VaultKv2, VaultKv2Builder};
use agentidp_secrets::{ClientSecret, CredentialKey, Error, ErrorKind, SecretBackend, StoredSecret, Verdict};
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::scripted_vault::{Answer, ScriptedVault};

const SECRET: &str = "sk_live_canary-secret";
const TOKEN: &str = "s.canary-token";

fn builder(server: &ScriptedVault) -> VaultKv2Builder {
    VaultKv2::builder(server.address(), TOKEN)
}

fn vault(server: &ScriptedVault) -> VaultKv2 {
    builder(server).build().unwrap()
}

fn key() -> CredentialKey {
    CredentialKey::parse("a", "c").unwrap()
}

fn secret() -> ClientSecret {
    ClientSecret::from(SECRET)
}

fn pinned(version: u64) -> StoredSecret {
    let text = format!("{{vault-kv2}}secret/data/agentidp/agents/a/credentials/c?version={version}");
    StoredSecret::parse(&text).unwrap()
}

fn entry(version: u64, secret: &str) -> Answer {
    let body = json!({ "data": { "data": { "clientSecret": secret }, "metadata": { "version": version } } });
    Answer::new(200, body.to_string())
}

fn written(version: u64) -> Answer {
    Answer::new(200, json!({ "data": { "version": version } }).to_string())
}

fn missing() -> Answer {
    Answer::new(404, json!({ "errors": [] }).to_string())
}

/// What a node says of its cluster.
fn leader(replicated: bool, active: bool) -> Answer {
    Answer::new(200, json!({ "ha_enabled": replicated, "is_self": active }).to_string())
}

/// Every text that the error can be made to show.
fn shown(error: &Error) -> String {
    let sources = std::iter::successors(error.source(), |error| (*error).source());
    sources.fold(format!("{error} {error:?} {error:#?}"), |text, source| format!("{text} {source} {source:?}"))
}

fn assert_kind_and_silence(error: &Error, kind: ErrorKind) {
    assert_eq!(error.kind(), kind, "{error}");
    let shown = shown(error);
    assert!(!shown.contains("canary") && !shown.contains("agents/a"), "{shown}");
}

#[tokio::test]
async fn requests_are_as_documented() {
    let server = ScriptedVault::start([written(1), entry(1, SECRET), written(2), Answer::new(204, "")]).await;
    let vault = builder(&server).namespace("team/one").build().unwrap();
    let stored = vault.store(&key(), &secret()).await.unwrap();
    assert_eq!(vault.verify(&key(), &stored, &secret()).await.unwrap(), Verdict::Match);
    vault.rotate(&key(), &stored, &secret()).await.unwrap();
    vault.revoke(&key(), &stored).await.unwrap();

    let path = "agentidp/agents/a/credentials/c";
    let seen = server.requests();
    let lines: Vec<_> = seen.iter().map(|request| (request.method.clone(), request.target.clone())).collect();
    let data = format!("/v1/secret/data/{path}");
    let expected = [
        (Method::POST, data.clone()),
        (Method::GET, format!("{data}?version=1")),
        (Method::POST, data),
        (Method::DELETE, format!("/v1/secret/metadata/{path}")),
    ];
    assert_eq!(lines, expected);
    for request in &seen {
        assert_eq!(request.headers["x-vault-token"], TOKEN);
        assert_eq!(request.headers["x-vault-namespace"], "team/one");
        assert_eq!(request.headers["x-vault-request"], "true");
    }
    let body = |cas| json!({ "data": { "clientSecret": SECRET }, "options": { "cas": cas } });
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&seen[0].body).unwrap(), body(0));
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&seen[2].body).unwrap(), body(1));
    assert!(seen[1].body.is_empty() && seen[3].body.is_empty());
}

#[tokio::test]
async fn every_request_asks_for_the_state_of_the_last_write() {
    let of_a_read = || entry(1, SECRET).header("x-vault-index", "of-a-read");
    let answers = [of_a_read(), of_a_read(), written(2).header("x-vault-index", "of-2"), entry(2, SECRET), written(3)];
    let server = ScriptedVault::start(answers).await;
    let vault = vault(&server);
    for _ in 0..2 {
        assert_eq!(vault.verify(&key(), &pinned(1), &secret()).await.unwrap(), Verdict::Match);
    }
    let second = vault.rotate(&key(), &pinned(1), &secret()).await.unwrap();
    assert_eq!(vault.verify(&key(), &second, &secret()).await.unwrap(), Verdict::Match);
    vault.rotate(&key(), &second, &secret()).await.unwrap();
    let seen = server.requests();
    for before in &seen[..3] {
        assert!(!before.headers.contains_key("x-vault-index"), "nothing was written yet");
    }
    for after in &seen[3..] {
        assert_eq!(after.headers["x-vault-index"], "of-2");
        assert_eq!(after.headers["x-vault-inconsistent"], "forward-active-node");
    }
}

#[tokio::test]
async fn a_standby_that_is_behind_is_asked_again() {
    // As OpenBao does it: successes name the state that they are from, refusals do not.
    let replicated = || entry(1, SECRET).header("x-vault-index", "1");
    let behind = || Answer::new(429, json!({ "errors": [] }).to_string());
    let asked = async |answers: Vec<Answer>| {
        let server = ScriptedVault::start(answers).await;
        let vault = vault(&server);
        assert_eq!(vault.verify(&key(), &pinned(1), &secret()).await.unwrap(), Verdict::Match);
        (vault.verify(&key(), &pinned(2), &secret()).await, server.requests().len() - 1)
    };
    let (caught_up, times) =
        asked(vec![replicated(), missing(), Answer::new(412, ""), missing(), entry(2, SECRET)]).await;
    assert_eq!((caught_up.unwrap(), times), (Verdict::Match, 4));
    let (gone, times) = asked(vec![replicated(), missing(), missing(), missing(), missing()]).await;
    assert_kind_and_silence(&gone.unwrap_err(), ErrorKind::NotFound);
    assert_eq!(times, 4);
    let (stuck, times) = asked(vec![entry(1, SECRET), behind(), behind(), behind(), behind()]).await;
    assert_kind_and_silence(&stuck.unwrap_err(), ErrorKind::Unavailable);
    assert_eq!(times, 4);
    let (gone, times) = asked(vec![entry(1, SECRET), missing(), leader(false, true)]).await;
    assert_kind_and_silence(&gone.unwrap_err(), ErrorKind::NotFound);
    assert_eq!(times, 2, "storage that is not replicated has no stale standby");
    for told in [leader(true, false), Answer::new(500, "")] {
        let late = [entry(1, SECRET), missing(), told, entry(2, SECRET)];
        let (caught_up, times) = asked(late.into()).await;
        assert_eq!((caught_up.unwrap(), times), (Verdict::Match, 3), "nothing has told of replication before");
    }

    let server = ScriptedVault::start([replicated(), missing()]).await;
    let vault = vault(&server);
    assert_eq!(vault.verify(&key(), &pinned(1), &secret()).await.unwrap(), Verdict::Match);
    vault.probe().await.unwrap();
    assert_eq!(server.requests().len(), 2, "nothing vouches for what is not pinned");
}

#[tokio::test]
async fn an_older_version_than_the_pinned_one_decides_nothing() {
    let server = ScriptedVault::start([entry(1, SECRET)]).await;
    let error = vault(&server).verify(&key(), &pinned(2), &secret()).await.unwrap_err();
    assert_kind_and_silence(&error, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for status in [301, 302, 307, 308] {
        let elsewhere = ScriptedVault::start([entry(1, SECRET), written(1)]).await;
        let location = format!("{}/v1/x", elsewhere.address());
        let redirect = || Answer::new(status, "").header("location", &location);
        let server = ScriptedVault::start([redirect(), redirect(), redirect()]).await;
        let error = vault(&server).verify(&key(), &pinned(1), &secret()).await.unwrap_err();
        assert_kind_and_silence(&error, ErrorKind::Unavailable);
        let error = vault(&server).store(&key(), &secret()).await.unwrap_err();
        assert_kind_and_silence(&error, ErrorKind::Unavailable);
        assert!(elsewhere.requests().is_empty(), "token and secret stay here");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_vaults_decides_nothing_and_is_not_shown() {
    let garbage = [
        Answer::new(200, format!("<html>{SECRET}</html>")),
        Answer::new(200, json!({ "data": SECRET }).to_string()),
        Answer::new(200, json!({ "data": { "data": { "clientSecret": SECRET } } }).to_string()[..30].to_owned()),
        Answer::new(200, json!([SECRET]).to_string()),
        Answer::new(204, ""),
        Answer::new(404, SECRET),
        Answer::new(403, SECRET),
        Answer::error(500, SECRET),
        Answer::error(503, SECRET),
        Answer::new(502, SECRET),
        entry(1, &SECRET.repeat(100_000)),
    ];
    for answer in garbage {
        let server = ScriptedVault::start([answer]).await;
        let error = vault(&server).verify(&key(), &pinned(1), &secret()).await.unwrap_err();
        assert_kind_and_silence(&error, ErrorKind::Unavailable);
    }
    let damaged = json!({ "data": { "data": { "clientSecret": [SECRET] }, "metadata": { "version": 1 } } });
    let server = ScriptedVault::start([Answer::new(200, damaged.to_string())]).await;
    let error = vault(&server).verify(&key(), &pinned(1), &secret()).await.unwrap_err();
    assert_kind_and_silence(&error, ErrorKind::Malformed);
    let server = ScriptedVault::start([Answer::error(400, SECRET)]).await;
    let error = vault(&server).verify(&key(), &pinned(1), &secret()).await.unwrap_err();
    assert_kind_and_silence(&error, ErrorKind::Internal);
}

#[tokio::test]
async fn a_read_that_breaks_off_or_hangs_is_an_outage() {
    let broken = [entry(1, SECRET).cut_after(20), entry(1, SECRET).stall_after(20), Answer::reset(), Answer::hang()];
    for answer in broken {
        let server = ScriptedVault::start([answer]).await;
        let vault = builder(&server).read_timeout(Duration::from_millis(50)).build().unwrap();
        let error = vault.verify(&key(), &pinned(1), &secret()).await.unwrap_err();
        assert_kind_and_silence(&error, ErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn a_host_that_takes_no_connection_is_given_up_soon() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody accepts: once its queue is full, the system answers no further caller.
    let mut queued = Vec::new();
    while let Ok(connected) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        queued.push(connected.unwrap());
    }
    let vault = VaultKv2::builder(format!("http://{address}"), TOKEN)
        .connect_timeout(Duration::from_millis(50))
        .read_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let error = vault.verify(&key(), &pinned(1), &secret()).await.unwrap_err();
    assert_kind_and_silence(&error, ErrorKind::Unavailable);
    assert!(error.to_string().contains("is the host up?"), "{error}");
}

/// What a write whose answer is `lost` comes to, when the read-back is answered by `found`.
async fn undecided(lost: Answer, found: Answer) -> Result<StoredSecret, Error> {
    let server = ScriptedVault::start([lost, found, leader(false, true)]).await;
    let vault = builder(&server).write_timeout(Duration::from_millis(50)).build().unwrap();
    let result = vault.rotate(&key(), &pinned(4), &secret()).await;
    let seen = server.requests();
    let writes = seen.iter().filter(|request| request.method == Method::POST).count();
    assert_eq!(writes, 1, "the write is not sent twice");
    assert_eq!((&seen[1].method, seen[1].target.ends_with("?version=5")), (&Method::GET, true));
    result
}

#[tokio::test]
async fn a_write_without_an_answer_is_read_back() {
    let lost: [fn() -> Answer; 6] = [
        || written(5).cut_after(10),
        || written(5).stall_after(10),
        Answer::reset,
        Answer::hang,
        || Answer::new(504, "<html>"),
        || Answer::new(200, "<html>"),
    ];
    for lost in lost {
        assert_eq!(undecided(lost(), entry(5, SECRET)).await.unwrap(), pinned(5));
        let another = undecided(lost(), entry(5, "another")).await.unwrap_err();
        assert_kind_and_silence(&another, ErrorKind::Conflict);
        let nothing = undecided(lost(), missing()).await.unwrap_err();
        assert_kind_and_silence(&nothing, ErrorKind::Unavailable);
        let unknown = undecided(lost(), Answer::error(503, "Vault is sealed")).await.unwrap_err();
        assert_kind_and_silence(&unknown, ErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn the_settings_of_the_process_are_not_looked_at() {
    // A process of its own, because its environment has to be another one: this test, run again.
    const CHILD: &str = "VAULT_WIRE_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let server = ScriptedVault::start([entry(1, SECRET)]).await;
        assert_eq!(vault(&server).verify(&key(), &pinned(1), &secret()).await.unwrap(), Verdict::Match);
        assert_eq!(server.requests()[0].headers["x-vault-token"], TOKEN);
        assert!(!server.requests()[0].headers.contains_key("x-vault-namespace"));
        return;
    }
    let proxy = ScriptedVault::start([]).await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "vault_wire::the_settings_of_the_process_are_not_looked_at"]).env(CHILD, "1");
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "VAULT_ADDR"] {
        child.env(name, proxy.address());
    }
    child.env_remove("NO_PROXY").env_remove("no_proxy").env("VAULT_TOKEN", "other").env("VAULT_NAMESPACE", "other");
    let output = child.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert!(proxy.requests().is_empty());
}

#[tokio::test]
async fn a_proxy_that_is_configured_is_used() {
    let proxy = ScriptedVault::start([entry(1, SECRET)]).await;
    let vault = VaultKv2::builder("http://vault.test:8200", TOKEN)
        .danger_allow_plain_http(true)
        .proxy(proxy.address())
        .build()
        .unwrap();
    assert_eq!(vault.verify(&key(), &pinned(1), &secret()).await.unwrap(), Verdict::Match);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_told_apart_from_one_that_is_down() {
    let server = ScriptedVault::start([]).await;
    let address = server.address().replace("http://", "https://");
    let error = VaultKv2::builder(address, TOKEN).build().unwrap().probe().await.unwrap_err();
    assert_kind_and_silence(&error, ErrorKind::Unavailable);
    assert!(error.to_string().contains("no TLS with"), "{error}");
    assert!(server.requests().is_empty());
}
