//! What a real Prometheus makes of a running server, of the alerts and of the dashboard.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::guide;
use crate::prometheus_server::{Prometheus, promtool};
use crate::replicas::Shared;
use crate::support;
use crate::support::process::{pause, until};

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

#[test]
fn the_alerts_are_sound_and_each_fires_when_it_is_time() {
    for (command, file) in [("check", "alerts.yml"), ("test", "alerts.test.yml")] {
        promtool(&[command, "rules", deploy(file).to_str().unwrap()], "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_the_dashboard_and_of_the_alerts_has_an_answer() {
    let (url, mount) = (support::postgres().fresh_database().await, support::bao().fresh_mount(2).await);
    let shared = Shared::on(&url, Some(&mount)).await;
    let server = shared.serve(&[]).await;
    let client = server.agent_with_credential(&shared.operator).await;
    let prometheus = Prometheus::start(server.origin.strip_prefix("http://").unwrap(), &deploy("alerts.yml")).await;
    // What a histogram says of the last minute needs somebody who comes.
    let traffic = async {
        loop {
            server.granted(&client).await;
            pause().await;
        }
    };
    tokio::select! {
        () = answers(&prometheus) => {}
        () = traffic => {}
    }
    let text = reqwest::get(format!("{}/metrics", server.origin)).await.unwrap().text().await.unwrap();
    promtool(&["check", "metrics"], &text);
    guide::is_true(&text);
    server.stop().await;
}

async fn answers(prometheus: &Prometheus) {
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(deploy("dashboard.json")).unwrap()).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let panels = targets.map(|target| target["expr"].as_str().unwrap().replace("$__rate_interval", "1m"));
    let alerts = prometheus.alerts().await;
    assert!(!alerts.is_empty());
    let conditions = alerts.iter().flat_map(|alert| alert.split(" and on (instance) ")).map(without_comparison);
    for query in panels.chain(conditions) {
        until(&query, async || !prometheus.query(&query).await.is_empty()).await;
    }
    let firing = prometheus.query("ALERTS").await;
    assert!(firing.is_empty(), "this server is well: {firing:?}");
}

/// What a condition compares with a number.
fn without_comparison(condition: &str) -> String {
    let mut words = condition.rsplitn(3, ' ');
    let (bound, operator) = (words.next().unwrap(), words.next().unwrap());
    assert!(bound.parse::<f64>().is_ok() && matches!(operator, "==" | ">" | "<"), "{condition}");
    words.next().unwrap().to_owned()
}
