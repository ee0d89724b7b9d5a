//! A Prometheus that scrapes one server, and what it makes of what it gets.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reqwest::Client;
use serde_json::Value;

use crate::support::find::{HINT, on_path};
use crate::support::process::{Home, Service};

/// It ends with the test process, or when dropped.
pub(crate) struct Prometheus {
    _service: Service,
    api: String,
    http: Client,
}

impl Prometheus {
    /// Scrapes `target`, a host and a port, all the time, as the job `agentidp`.
    pub(crate) async fn start(target: &str, rules: &Path) -> Self {
        let program = program("prometheus");
        let home = Home::new();
        home.write_file("rules.yml", &std::fs::read_to_string(rules).expect("the rules"));
        home.write_file(
            "prometheus.yml",
            &format!(
                "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
                 rule_files: [rules.yml]\n\
                 scrape_configs: [{{ job_name: agentidp, static_configs: [{{ targets: ['{target}'] }}] }}]\n"
            ),
        );
        let data = home.path().join("data").display().to_string();
        let arguments = |_: &Home, port| {
            let listen = format!("--web.listen-address=127.0.0.1:{port}");
            vec!["--config.file=prometheus.yml".to_owned(), format!("--storage.tsdb.path={data}"), listen]
        };
        let http = Client::builder().no_proxy().build().expect("a client");
        let (service, port) =
            Service::start(home, "KILL", program, arguments, |port| is_ours(http.clone(), port, data.clone())).await;
        Self { _service: service, api: format!("http://127.0.0.1:{port}/api/v1"), http }
    }

    /// The result of a query: a series each.
    pub(crate) async fn query(&self, query: &str) -> Vec<Value> {
        let answer = self.http.post(format!("{}/query", self.api)).form(&[("query", query)]);
        let answer: Value = answer.send().await.expect("it answers").json().await.expect("JSON");
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().expect("a vector").clone()
    }

    /// The queries of its alerts, in the form that it gives them.
    pub(crate) async fn alerts(&self) -> Vec<String> {
        let answer = self.http.get(format!("{}/rules", self.api)).send().await.expect("it answers");
        let answer: Value = answer.json().await.expect("JSON");
        let groups = answer["data"]["groups"].as_array().expect("groups").clone();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone());
        rules.map(|rule| rule["query"].as_str().expect("a query").to_owned()).collect()
    }
}

fn program(name: &str) -> PathBuf {
    on_path(name).unwrap_or_else(|| panic!("these tests need Prometheus' `{name}` on PATH: {HINT}"))
}

/// Another server may have been faster to the port: only ours has our data folder.
async fn is_ours(http: Client, port: u16, data: String) -> bool {
    let Ok(flags) = http.get(format!("http://127.0.0.1:{port}/api/v1/status/flags")).send().await else { return false };
    let flags: Value = flags.json().await.unwrap_or_default();
    let ready = http.get(format!("http://127.0.0.1:{port}/-/ready")).send().await;
    flags["data"]["storage.tsdb.path"] == data && ready.is_ok_and(|ready| ready.status().is_success())
}

/// Runs `promtool` with `input`; panics with what it says unless all is well.
pub(crate) fn promtool(arguments: &[&str], input: &str) {
    let mut command = Command::new(program("promtool"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("its input"), input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}
