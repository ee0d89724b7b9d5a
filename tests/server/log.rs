//! The log: a line for each request, and never a secret.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing::level_filters::LevelFilter;
use uuid::Uuid;

use super::requests::grant_form;
use super::site::Site;

#[tokio::test]
async fn every_request_has_a_line_and_no_line_has_a_secret() {
    let (log, _listening) = Log::of_this_thread();
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (credential, secret) = site.credential(agent).await;
    let token = site.granted(agent, &secret).await;
    let rotated = site.rotate(agent, credential).await.secret();
    site.grant(agent, "canary-guess").await;
    site.grant(Uuid::new_v4(), "canary-guess").await;
    site.token_form(format!("{}&scope=canary-scope", grant_form(agent, &rotated))).await;
    site.token_with(&[("authorization", "Basic canary-header")], "grant_type=client_credentials").await;
    site.about_token(&token, "introspect", &format!("token={token}")).await;
    site.about_token(&token, "revoke", &format!("token={token}")).await;
    site.bare("GET", "/api/v1/agents?canary=query", &[("authorization", &format!("Bearer {token}"))]).await;
    site.bare("GET", "/canary-path", &[("x-request-id", "the-id"), ("user-agent", "canary-agent")]).await;

    let text = log.text();
    let digest = site.row(agent, credential).await.secret.secret_hash.unwrap();
    let of_tokens = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    for leak in [secret, rotated, of_tokens(&token), of_tokens(&site.operator), digest, "canary".to_owned()] {
        assert!(!text.contains(&leak), "{leak} is in\n{text}");
    }

    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answered: Vec<&Value> = lines.iter().filter(|line| line["fields"]["message"] == "answered").collect();
    assert_eq!(answered.len(), 12);
    let last = answered.last().unwrap();
    assert_eq!((&last["fields"]["path"], &last["fields"]["status"]), (&"unknown".into(), &404.into()));
    assert_eq!(last["span"]["request_id"], "the-id");
    let issued = answered.iter().find(|line| line["fields"]["path"] == "/api/v1/token").unwrap();
    assert_eq!(issued["fields"]["client_id"], agent.to_string());
    let failed = lines.iter().filter(|line| line["fields"]["message"] == "a client failed to authenticate");
    let reasons: Vec<&Value> = failed.map(|line| &line["fields"]["reason"]).collect();
    assert_eq!(reasons, ["no active credential matches", "no such client", "no id of a client"]);
}

/// Keeps what is written.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// What this thread logs while the second part lives.
    pub(crate) fn of_this_thread() -> (Self, impl Sized) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(LevelFilter::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        // While there is one dispatcher only, a call site that the thread of another test meets first is switched off
        // for all threads.
        let second = tracing::Dispatch::new(tracing_subscriber::registry());
        (log, (guard, second))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
