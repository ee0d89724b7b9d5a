//! A machine whose cores are taken by other processes.

use std::num::NonZero;
use std::thread::available_parallelism;

use sqlx::{Connection as _, SqliteConnection};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::binary::{Client, Place, Running};

/// Logins at once. Each needs a digest: after a restart no verification is in memory.
const LOGINS: usize = 40;

/// Half the work of a digest of this server. With the floor there is time for several times as much, which a machine that is
/// busy with more than this test needs; without it there is too little still.
const COST: u32 = 9;

/// One process for each core, of normal priority. They end when dropped.
fn take_all_cores() -> Vec<Child> {
    let cores = available_parallelism().map_or(1, NonZero::get);
    let busy = || Command::new("sh").args(["-c", "while :; do :; done"]).kill_on_drop(true).spawn().unwrap();
    (0..cores).map(|_| busy()).collect()
}

/// B10 of the field trial. Without a floor the digest threads rest for as long as the cores are busy, and most logins are
/// refused. The test waits for answers only; what refuses a login is the server's own limit of 5 s.
#[tokio::test]
async fn first_logins_on_a_busy_machine_are_all_served() {
    let place = Place::new();
    let operator = place.operator(&[]).await;
    let settings = [("RATE_LIMIT_PER_MINUTE", "0")];
    let running = place.serve(&settings).await;
    let mut clients = Vec::new();
    for _ in 0..LOGINS {
        clients.push(running.agent_with_credential(&operator).await);
    }
    running.stop().await;
    write_digests(&place, &clients).await;

    let _busy = take_all_cores();
    let running = place.serve(&settings).await;
    let answers = log_in_at_once(&running, clients).await;
    let refused = answers.iter().filter(|status| **status == 503).count();
    assert_eq!((refused, answers), (0, vec![200; LOGINS]), "{}", place.log());
}

/// Rows as an older release wrote them, without selectors.
#[expect(clippy::disallowed_methods, reason = "these secrets are shorter than 72 bytes, and the cost is none of ours")]
async fn write_digests(place: &Place, clients: &[Client]) {
    let url = format!("sqlite:{}", place.data("agentidp.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    for client in clients {
        let write = "UPDATE credentials SET secret_selector = NULL, secret_hash = $1 WHERE credential_id = $2";
        let digest = bcrypt::hash(&client.secret, COST).unwrap();
        sqlx::query(write).bind(digest).bind(&client.credential).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

async fn log_in_at_once(running: &Running, clients: Vec<Client>) -> Vec<u16> {
    let (http, mut logins) = (reqwest::Client::new(), JoinSet::new());
    for client in clients {
        let request = http.post(format!("{}/api/v1/token", running.origin)).form(&client.form());
        logins.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    logins.join_all().await
}
