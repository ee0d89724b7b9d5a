//! The binary in a folder of its own, with no settings but those of the test.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use agentidp_server::data_dir::DataDir;
use agentidp_server::keys::{KeyAlgorithm, SigningKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A folder to run the binary in, which keeps the data directory over several runs.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.path().join("agentidp-data").join(name)
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        self.command(arguments, settings).output().await.unwrap()
    }

    /// Starts a server on a free port, and waits until it says that it listens.
    pub(crate) async fn serve(&self, settings: &[(&str, &str)]) -> Running {
        self.serve_through(&[], settings).await
    }

    /// As [`serve`](Self::serve), by a command that gets the binary as its last argument.
    pub(crate) async fn serve_through(&self, through: &[&str], settings: &[(&str, &str)]) -> Running {
        let log = std::fs::File::options().create(true).append(true).open(self.path().join("log")).unwrap();
        let mut command = self.command_through(through, &[], &[settings, &[("PORT", "0")]].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let Some(first) = lines.next_line().await.unwrap() else { panic!("no line: {}", self.log()) };
        let origin = first.strip_prefix("listening on ").unwrap().to_owned();
        Running { child, lines, origin }
    }

    /// What servers in this folder wrote to standard error.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).unwrap()
    }

    /// An operator's token.
    pub(crate) async fn operator(&self, settings: &[(&str, &str)]) -> String {
        // As the first start of a server does.
        if !self.data("jwt-key.pem").exists() {
            let pem = SigningKey::generate_pem(KeyAlgorithm::default()).unwrap();
            DataDir::open(&self.path().join("agentidp-data"))
                .unwrap()
                .key_pem(|| Ok::<_, std::io::Error>(pem))
                .unwrap();
        }
        let output = self.run(&["operator-token"], settings).await;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// A command that ends with this process.
    pub(crate) fn command(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
        self.command_through(&[], arguments, settings)
    }

    fn command_through(&self, through: &[&str], arguments: &[&str], settings: &[(&str, &str)]) -> Command {
        let mut line = through.iter().copied().chain([env!("CARGO_BIN_EXE_agentidp-server")]);
        let mut command = Command::new(line.next().unwrap());
        command.args(line).args(arguments).current_dir(self.path()).env_clear().env("AGENTIDP_LEDGER_WATCH", "0s");
        command.envs(settings.iter().copied());
        command.kill_on_drop(true);
        command
    }
}

/// A server that serves.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// `http://127.0.0.1:port`.
    pub(crate) origin: String,
}

impl Running {
    /// The next line on standard output.
    pub(crate) async fn line(&mut self) -> String {
        self.lines.next_line().await.unwrap().unwrap()
    }

    /// Whatever else is written to standard output until it ends.
    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            rest.push(line);
        }
        rest
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) async fn signal(&self, name: &str) {
        let id = self.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().await.unwrap().success());
    }

    /// Waits for the end; the exit code, if it was not killed.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        self.child.wait().await.unwrap().code()
    }

    /// Stops it as an orchestrator does.
    pub(crate) async fn stop(mut self) {
        self.signal("TERM").await;
        assert_eq!(self.ended().await, Some(0));
    }

    /// An agent with one credential.
    pub(crate) async fn agent_with_credential(&self, operator: &str) -> Client {
        let id = self.agent(operator).await;
        let credential = self.post(operator, &format!("/api/v1/agents/{id}/credentials"), &Value::Null).await;
        Client::shown(id, &credential)
    }

    /// A new agent's id.
    pub(crate) async fn agent(&self, operator: &str) -> String {
        let agent = json!({
            "email": format!("{}@agents.example", uuid::Uuid::new_v4()), "agentType": "custom", "version": "1.0.0",
            "capabilities": ["demo:read"], "owner": "tests", "deploymentEnv": "development",
        });
        self.post(operator, "/api/v1/agents", &agent).await["agentId"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn post(&self, bearer: &str, path: &str, body: &Value) -> Value {
        let request = reqwest::Client::new().post(format!("{}{path}", self.origin)).bearer_auth(bearer);
        let request = if body.is_null() { request } else { request.json(body) };
        let response = request.send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {response:?}");
        response.json().await.unwrap()
    }

    pub(crate) async fn status(&self, bearer: &str, method: reqwest::Method, path: &str) -> u16 {
        let request = reqwest::Client::new().request(method, format!("{}{path}", self.origin)).bearer_auth(bearer);
        request.send().await.unwrap().status().as_u16()
    }

    /// Revokes an access token.
    pub(crate) async fn revoke_token(&self, bearer: &str, token: &str) {
        let request = reqwest::Client::new().post(format!("{}/api/v1/token/revoke", self.origin)).bearer_auth(bearer);
        let response = request.form(&[("token", token)]).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }

    /// An access token.
    pub(crate) async fn granted(&self, client: &Client) -> String {
        let (status, answer) = self.token(client).await;
        assert_eq!(status, 200, "{answer}");
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Status and body of a token request.
    pub(crate) async fn token(&self, client: &Client) -> (u16, Value) {
        let request = reqwest::Client::new().post(format!("{}/api/v1/token", self.origin)).form(&client.form());
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

/// What a client knows of itself.
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) credential: String,
    pub(crate) secret: String,
}

impl Client {
    /// What the agent `id` knows after an answer that shows a secret.
    pub(crate) fn shown(id: String, answer: &Value) -> Self {
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        Self { id, credential: text("credentialId"), secret: text("clientSecret") }
    }

    /// Its token request.
    pub(crate) fn form(&self) -> [(&'static str, &str); 3] {
        [("grant_type", "client_credentials"), ("client_id", &self.id), ("client_secret", &self.secret)]
    }
}

/// What a token says, which is in its second part.
pub(crate) fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// A token's id.
pub(crate) fn token_id(token: &str) -> String {
    claims(token)["jti"].as_str().unwrap().to_owned()
}
