//! No public type, no error and no log line shows a secret, a digest or a token.

use std::fmt::Debug;
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use agentidp_secrets::backends::{Argon2id, Bcrypt, KeyedDigest, Memory};
use agentidp_secrets::layers::{BreakerLayer, LimitLayer, RetryLayer, TimeoutLayer};
use agentidp_secrets::testkit::{assert_error_redacted, assert_redacted, assert_text_redacted, fresh_key};
use agentidp_secrets::vault::auth::{AppRole, ClientCert, Kubernetes, VaultAuth, VaultToken};
use agentidp_secrets::vault::{VaultKv2, VaultKv2Config};
use agentidp_secrets::{
    BackendId, ClientSecret, CredentialSecrets, Error, ErrorKind, MacKeys, Previous, SecretBackend, SecretStore,
    Selector, StoredSecret, VerifyError, stack,
};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::support;
use crate::support::scripted_vault::{Answer, ScriptedVault};

const CANARY: &str = "canary-0123456789abcdef0123456789abcdef-canary";

#[test]
fn vocabulary_hides_plaintext_and_payload() {
    let (secret, stored) = (ClientSecret::from(CANARY), StoredSecret::new(BackendId::BCRYPT, CANARY));
    let selector = Selector::parse("k1:0123456789abcdef").unwrap();
    let previous = Previous { stored: stored.clone(), selector: Some(selector), valid_until: SystemTime::UNIX_EPOCH };
    let secrets =
        CredentialSecrets { current: stored.clone(), selector: Some(selector), previous: Some(previous.clone()) };
    let several = (Some(secret.clone()), vec![stored.clone()], selector);
    let shown: [&dyn Debug; 5] = [&secret, &stored, &previous, &secrets, &several];
    for value in shown {
        assert_redacted(value, CANARY);
        assert_redacted(value, "0123456789abcdef");
    }
    let refused = ClientSecret::try_from([CANARY.as_bytes(), b"\xff"].concat()).unwrap_err();
    assert_error_redacted(&refused, CANARY);
    assert_redacted(&StoredSecret::parse(CANARY).unwrap(), CANARY);
    for damaged in [format!("{CANARY}\n"), format!("{{{CANARY}!}}\n")] {
        assert_error_redacted(&StoredSecret::parse(&damaged).unwrap_err(), CANARY);
    }
}

#[test]
fn vault_settings_hide_the_token() {
    let config = VaultKv2Config::new(format!("http://user:{CANARY}@127.0.0.1:1"), CANARY);
    let builder = VaultKv2::builder("http://127.0.0.1:1", CANARY);
    let shown: [&dyn Debug; 4] = [&VaultToken::from(CANARY), &config, &builder, &builder.clone().build().unwrap()];
    for value in shown {
        assert_redacted(value, CANARY);
    }
    for refused in [
        config.into_builder(),
        VaultKv2::builder(format!("no address: {CANARY}"), "token"),
        VaultKv2::builder("http://127.0.0.1:1", format!("line\nfeed {CANARY}")),
        VaultKv2::builder("http://127.0.0.1:1", "token").proxy(format!("http://user:{CANARY}@[")),
    ] {
        if let Err(error) = refused.build() {
            assert_error_redacted(&error, CANARY);
        }
    }
}

#[test]
fn logins_to_vault_hide_what_proves_them() {
    let role = AppRole::new(CANARY, CANARY);
    let file = AppRole::with_secret_id_file(CANARY, "/secret-id");
    let text = format!(r#"{{"app_role":{{"role_id":"{CANARY}","secret_id":{{"text":"{CANARY}"}}}}}}"#);
    let data: VaultAuth = serde_json::from_str(&text).unwrap();
    let own = ClientCert::new("certificate", CANARY);
    let auth = VaultAuth::AppRole(role.clone());
    let vault = VaultKv2::builder("http://127.0.0.1:1", auth.clone()).build().unwrap();
    let shown: [&dyn Debug; 7] = [&role, &file, &data, &own, &auth, &vault, &VaultAuth::from(CANARY)];
    for value in shown {
        assert_redacted(value, CANARY);
    }
    let refused = VaultKv2::builder("http://127.0.0.1:1", "token").client_cert(own).build().unwrap_err();
    assert_error_redacted(&refused, CANARY);
}

/// Whatever shape a secret comes in. The errors of `serde` quote what they do not expect.
#[test]
fn settings_that_cannot_be_read_are_not_repeated() {
    let texts = [
        format!(r#""{CANARY}""#),
        format!(r#"{{"{CANARY}":"{CANARY}"}}"#),
        format!(r#"{{"token":["{CANARY}"]}}"#),
        format!(r#"{{"app_role":"{CANARY}"}}"#),
        format!(r#"{{"app_role":{{"role_id":"role","secret_id":"{CANARY}"}}}}"#),
        format!(r#"{{"app_role":{{"role_id":"role","wrapped":"{CANARY}"}}}}"#),
        format!(r#"{{"kubernetes":"{CANARY}"}}"#),
        format!(r#"{{"certificate_pem":"","key_pem":["{CANARY}"]}}"#),
    ];
    for text in texts {
        let error = serde_json::from_str::<VaultAuth>(&text).unwrap_err();
        assert_error_redacted(&error, CANARY);
        assert!(error.to_string().contains("`token_file`"), "{error}");
        let errors = [
            serde_json::from_str::<AppRole>(&text).unwrap_err(),
            serde_json::from_str::<Kubernetes>(&text).unwrap_err(),
            serde_json::from_str::<ClientCert>(&text).unwrap_err(),
        ];
        for error in errors {
            assert_error_redacted(&error, CANARY);
        }
    }
}

/// The answer to a login holds the token, and nobody knows what a broken server puts into it.
#[tokio::test]
async fn no_error_of_a_login_or_a_renewal_repeats_what_was_sent_or_answered() {
    let _log = log();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, CANARY).unwrap();
    let ways = [
        VaultAuth::AppRole(AppRole::new(CANARY, CANARY)),
        VaultAuth::AppRole(AppRole::with_secret_id_file(CANARY, &file)),
        VaultAuth::Kubernetes(Kubernetes::new("role").jwt_file(&file)),
        VaultAuth::TokenFile(file.clone()),
    ];
    let bodies = [
        format!("{{\"auth\":{{\"client_token\":\"{CANARY}\",\"lease_duration\":\"{CANARY}\"}}}}"),
        format!("{{\"auth\":{{\"client_token\":\"{CANARY} \\n\",\"lease_duration\":1,\"renewable\":true}}}}"),
        format!("{{\"auth\":null,\"warnings\":[\"{CANARY}\"]}}"),
        format!("{{\"errors\":[\"{CANARY}\"]}}"),
        CANARY.to_owned(),
    ];
    for (auth, status) in ways.iter().flat_map(|auth| [200, 400, 403, 500].map(|status| (auth, status))) {
        for body in &bodies {
            let server = ScriptedVault::start((0..4).map(|_| Answer::new(status, body.clone()))).await;
            let vault = VaultKv2::builder(server.address(), auth.clone()).build().unwrap();
            let tended = vault.tend_token().await;
            assert_redacted(&tended, CANARY);
            for error in tended.outcome.err().into_iter().chain(vault.probe().await.err()) {
                assert_error_redacted(&error, CANARY);
            }
            assert_redacted(&vault, CANARY);
        }
    }
    assert_text_redacted(&log().text(), CANARY);
}

#[test]
fn keys_and_what_holds_them_hide_them() {
    let text = "8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92";
    let keys = MacKeys::parse(&format!("k1:{text}")).unwrap();
    let store = SecretStore::builder(KeyedDigest::new(keys.clone())).selector_keys(keys.clone());
    let shown: [&dyn Debug; 3] = [&keys, &KeyedDigest::new(keys.clone()), &store];
    for value in shown {
        assert_redacted(value, text);
    }
    assert_redacted(&store.build().unwrap(), text);
    for misplaced in [format!("{text}:k1"), format!("k1:{text}00"), format!("k1={text}")] {
        assert_error_redacted(&MacKeys::parse(&misplaced).unwrap_err(), text);
        assert_error_redacted(&Selector::parse(&misplaced).unwrap_err(), text);
    }
}

#[tokio::test]
async fn keyed_digests_and_selectors_hide_what_they_hold() {
    let keys = MacKeys::parse("k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92").unwrap();
    let store = SecretStore::builder(KeyedDigest::new(keys.clone())).selector_keys(keys).build().unwrap();
    let key = fresh_key();
    let issued = store.issue(&key).await.unwrap();
    let selector = issued.selector.unwrap().to_text();
    let fingerprint = selector.split_once(':').unwrap().1;
    let row = CredentialSecrets { current: issued.stored.clone(), selector: issued.selector, previous: None };
    let rotated = store.rotate(&key, &row, Duration::from_secs(60)).await.unwrap();
    let proof = store.verify(&key, &issued.stored.clone().into(), &issued.secret).await.unwrap();
    assert_eq!(proof.selector, issued.selector);
    let shown: [&dyn Debug; 5] = [&store, &issued, &row, &rotated, &proof];
    for value in shown {
        for hidden in [issued.secret.expose_secret(), issued.stored.payload(), fingerprint] {
            assert_redacted(value, hidden);
        }
    }
}

#[tokio::test]
async fn stores_backends_and_what_they_return_hide_everything() {
    let (key, canary) = (fresh_key(), ClientSecret::from(CANARY));
    let bcrypt = Bcrypt::builder().minimum_cost_for_tests().build().unwrap();
    let argon2 = Argon2id::builder().minimum_cost_for_tests().build().unwrap();
    let memory = Arc::new(Memory::new());
    let layers = stack(
        Arc::clone(&memory),
        &[
            &LimitLayer::new(1),
            &RetryLayer::default(),
            &TimeoutLayer::new(Duration::from_secs(60)),
            &BreakerLayer::default(),
        ],
    );
    let stored = memory.store(&key, &canary).await.unwrap();
    let shown: [&dyn Debug; 4] = [&bcrypt, &argon2, &memory, &layers];
    for value in shown {
        assert_redacted(value, CANARY);
    }
    for backend in [&bcrypt as &dyn SecretBackend, &argon2] {
        let record = backend.store(&key, &canary).await.unwrap();
        assert_redacted(&record, record.payload());
        // A character that no digest has. One that is merely cut may by chance be a sound digest of another length.
        let damaged = format!("{}~", &record.payload()[..record.payload().len() - 1]);
        let damaged = StoredSecret::new(record.backend().clone(), damaged);
        let error = backend.verify(&key, &damaged, &canary).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert_error_redacted(&error, damaged.payload());
    }

    let store = SecretStore::builder(bcrypt).accepts(Arc::clone(&memory)).build().unwrap();
    let issued = store.issue(&key).await.unwrap();
    let rotated = store.rotate(&key, &issued.stored.clone().into(), Duration::from_secs(60)).await.unwrap();
    let secrets = CredentialSecrets {
        current: rotated.stored.clone(),
        selector: rotated.selector,
        previous: rotated.previous.clone(),
    };
    let verified = store.verify(&key, &secrets, &rotated.secret).await.unwrap();
    let any = store.verify_any(&[(key.clone(), secrets.clone())], &issued.secret).await.unwrap();
    let wrong = store.verify(&key, &secrets, &canary).await.unwrap_err();
    let foreign = store.verify(&fresh_key(), &stored.into(), &canary).await.unwrap_err();
    assert!(matches!(foreign, VerifyError::Backend(_)), "{foreign:?}");
    let shown: [&dyn Debug; 6] = [&store, &issued, &rotated, &secrets, &verified, &any];
    for hidden in [CANARY, issued.secret.expose_secret(), rotated.secret.expose_secret(), rotated.stored.payload()] {
        for value in shown {
            assert_redacted(value, hidden);
        }
        assert_error_redacted(&wrong, hidden);
        assert_error_redacted(&foreign, hidden);
    }
}

/// A broken server, or somebody in between, may put anything into an answer: our own secret, for one.
#[tokio::test]
async fn no_error_repeats_the_body_of_an_answer() {
    let _log = log();
    let (key, secret) = (fresh_key(), ClientSecret::from(CANARY));
    for status in [200, 204, 301, 400, 403, 404, 405, 412, 429, 500, 502, 503] {
        for body in [
            format!("{{\"data\":{{\"data\":{{\"clientSecret\":[\"{CANARY}\"]}},\"metadata\":{{\"version\":1}}}}}}"),
            format!("{{\"data\":{{\"data\":{{\"{CANARY}\":1}},\"metadata\":null}}}}"),
            format!("{{\"errors\":[\"{CANARY}\"]}}"),
            format!("{{\"data\": {CANARY}"),
            CANARY.to_owned(),
        ] {
            let answers =
                (0..8).map(|_| Answer::new(status, body.clone()).header("Location", &format!("http://{CANARY}/")));
            let server = ScriptedVault::start(answers).await;
            let vault = VaultKv2::builder(server.address(), CANARY).build().unwrap();
            let stored = format!(
                "{{vault-kv2}}secret/data/agentidp/agents/{}/credentials/{}?version=1",
                key.client_id(),
                key.credential_id()
            );
            let stored = StoredSecret::parse(&stored).unwrap();
            let outcomes: [Option<Error>; 4] = [
                vault.verify(&key, &stored, &secret).await.err(),
                vault.store(&key, &secret).await.err(),
                vault.rotate(&key, &stored, &secret).await.err(),
                vault.revoke(&key, &stored).await.err(),
            ];
            assert!(outcomes[0].is_some(), "{status} is no verdict");
            for error in outcomes.iter().flatten() {
                assert_error_redacted(error, CANARY);
            }
        }
    }
    assert_text_redacted(&log().text(), CANARY);
}

#[tokio::test]
async fn a_whole_life_on_the_real_server_logs_no_secret_and_no_token() {
    let log = log();
    let (bao, key) = (support::bao(), fresh_key());
    let mount = bao.fresh_mount(2).await;
    let at = |token: &str| VaultKv2::builder(bao.address(), token).mount(mount.name.as_str()).build().unwrap();
    let bcrypt = Bcrypt::builder().minimum_cost_for_tests().build().unwrap();
    let store = SecretStore::builder(at(&mount.policy_token)).accepts(bcrypt).build().unwrap();
    let before = log.text().len();

    let issued = store.issue(&key).await.unwrap();
    let rotated = store.rotate(&key, &issued.stored.clone().into(), Duration::from_secs(60)).await.unwrap();
    let secrets = CredentialSecrets {
        current: rotated.stored.clone(),
        selector: rotated.selector,
        previous: rotated.previous.clone(),
    };
    assert!(store.verify(&key, &secrets, &rotated.secret).await.is_ok());
    assert!(store.verify(&key, &secrets, &issued.secret).await.is_ok());
    let wrong = ClientSecret::generate().unwrap();
    assert!(matches!(store.verify(&key, &secrets, &wrong).await, Err(VerifyError::Mismatch)));
    store.verify_decoy(&wrong).await.unwrap();
    store.issue(&key).await.unwrap_err();
    store.rotate(&key, &issued.stored.clone().into(), Duration::ZERO).await.unwrap_err();
    store.revoke(&key, &secrets).await.unwrap();
    store.verify(&key, &secrets, &rotated.secret).await.unwrap_err();
    assert!(store.probe().await.iter().all(|(_, outcome)| outcome.is_ok()));
    let role = bao.app_role(&mount, serde_json::json!({ "token_ttl": "1h" })).await;
    let login = AppRole::new(role.role_id.as_str(), role.secret_id.as_str()).mount(role.mount.as_str());
    let logged_in = VaultKv2::builder(bao.address(), VaultAuth::AppRole(login)).mount(mount.name.as_str());
    logged_in.build().unwrap().probe().await.unwrap();
    let dead = ClientSecret::generate().unwrap();
    at(dead.expose_secret()).store(&key, &wrong).await.unwrap_err();

    let text = log.text();
    let text = &text[before..];
    assert!(text.contains("reqwest") && text.contains("hyper_util"), "the log has what the client stack says");
    let path = format!("agents/{}/credentials", key.client_id());
    assert!(!text.contains(&path), "a Vault path tells whose secret is where");
    for hidden in [&role.role_id, &role.secret_id] {
        assert_text_redacted(text, hidden);
    }
    for hidden in [&issued.secret, &rotated.secret, &wrong, &dead, &ClientSecret::from(mount.policy_token.as_str())] {
        assert_text_redacted(text, hidden.expose_secret());
    }
}

/// Everything that is logged in this test binary, by any crate, at any level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// Starts the log with the first call. It is the process's own, because clients log on threads of their own.
fn log() -> Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    let start = || {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
        subscriber.with_writer(log.clone()).finish().init();
        log
    };
    LOG.get_or_init(start).clone()
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
