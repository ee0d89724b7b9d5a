//! Restored from different moments: the chapter of the operator guide, command by command, on a real PostgreSQL and a real OpenBao,
//! in both directions, until every client is served or named.

use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::process::Command;

use crate::binary::{Client, Place, Running};
use crate::support::{self, Bao, bao::Mount, find};

const GUIDE: &str = include_str!("../../README.md");

/// The commands of the chapter under this mark.
fn commands(mark: &str) -> &'static str {
    let (_, rest) = GUIDE.split_once(&format!("<!-- restored: {mark} -->\n\n```sh\n")).expect(mark);
    rest.split_once("\n```").expect(mark).0
}

/// A server on PostgreSQL and an OpenBao of its own, whose operator follows the chapter.
struct Site {
    place: Place,
    bao: Bao,
    mount: Mount,
    database: String,
    operator: String,
}

impl Site {
    async fn new() -> Self {
        let bao = Bao::start_own().await;
        let (mount, place) = (bao.fresh_mount(2).await, Place::new());
        let (database, operator) = (support::postgres().fresh_database().await, place.operator(&[]).await);
        Self { place, bao, mount, database, operator }
    }

    fn settings(&self) -> Vec<(&str, String)> {
        vec![
            ("DATABASE_URL", self.database.clone()),
            ("JWT_PRIVATE_KEY_FILE", self.place.data("jwt-key.pem").display().to_string()),
            ("VAULT_ADDR", self.bao.address().to_owned()),
            ("VAULT_TOKEN", self.bao.root_token().to_owned()),
            ("VAULT_KV_MOUNT", self.mount.name.clone()),
        ]
    }

    async fn serve(&self, more: &[(&str, &str)]) -> Running {
        let settings = self.settings();
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.place.serve(&[&settings, more].concat()).await
    }

    /// In bcrypt mode, on the same database.
    async fn serve_without_vault(&self) -> Running {
        self.serve(&[("VAULT_ADDR", ""), ("VAULT_TOKEN", "")]).await
    }

    /// Runs the chapter's commands; what they print.
    async fn follow(&self, mark: &str) -> (bool, String) {
        let programs = self.place.path().join("programs");
        if !programs.exists() {
            std::fs::create_dir(&programs).unwrap();
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_agentidp-server"), programs.join("agentidp-server"))
                .unwrap();
            std::os::unix::fs::symlink(find::bao(), programs.join("bao")).unwrap();
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = format!("{}:{}:{}", programs.display(), find::postgres_folder().display(), path.display());
        let mut command = Command::new("bash");
        command.arg("-ec").arg(commands(mark)).current_dir(self.place.path()).env_clear().envs(self.settings());
        command.env("PATH", path).env("HOME", self.place.path()).env("AGENTIDP_LEDGER_WATCH", "0s");
        let output = command.stdin(Stdio::null()).output().await.unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), text)
    }

    /// The same, of commands that have to succeed.
    async fn done(&self, mark: &str) -> String {
        let (is_done, text) = self.follow(mark).await;
        assert!(is_done, "{mark}: {text}");
        text
    }

    /// The one credential of an agent of its own.
    async fn credential(&self, server: &Running) -> Client {
        server.agent_with_credential(&self.operator).await
    }

    /// Of an agent that was there before.
    async fn credential_of(&self, server: &Running, agent: &str) -> Client {
        let made = server.post(&self.operator, &format!("/api/v1/agents/{agent}/credentials"), &Value::Null).await;
        Client::shown(agent.to_owned(), &made)
    }

    async fn rotate(&self, server: &Running, client: &Client, body: Value) -> Client {
        let path = format!("/api/v1/agents/{}/credentials/{}/rotate", client.id, client.credential);
        Client::shown(client.id.clone(), &server.post(&self.operator, &path, &body).await)
    }

    async fn revoke(&self, server: &Running, client: &Client) {
        let path = format!("/api/v1/agents/{}/credentials/{}", client.id, client.credential);
        assert_eq!(server.status(&self.operator, Method::DELETE, &path).await, 204);
    }

    fn path(&self, client: &Client) -> String {
        format!("{}/data/agentidp/agents/{}/credentials/{}", self.mount.name, client.id, client.credential)
    }

    async fn holds(&self, client: &Client) -> bool {
        self.bao.metadata_exists(&self.path(client)).await
    }
}

async fn statuses(server: &Running, clients: &[&Client]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for client in clients {
        statuses.push(server.token(client).await.0);
    }
    statuses
}

fn line(class: &str, client: &Client) -> String {
    format!("{class}: credential {} of client {}", client.credential, client.id)
}

/// Each of the lines is printed.
fn names(text: &str, lines: &[String]) {
    for line in lines {
        assert!(text.contains(line), "{line:?} is missing in\n{text}");
    }
}

#[tokio::test]
async fn a_database_that_is_older_than_vault() {
    let site = Site::new().await;
    let server = site.serve_without_vault().await;
    let agent = server.agent(&site.operator).await;
    let (hashed, moved, ended_digest) =
        (site.credential(&server).await, site.credential(&server).await, site.credential(&server).await);
    server.stop().await;
    let server = site.serve(&[]).await;
    let (same, rotated, revoked) =
        (site.credential(&server).await, site.credential(&server).await, site.credential(&server).await);
    let ended_token = server.granted(&hashed).await;
    site.done("back up the database").await;

    // After the backup.
    let rotated_since = site.rotate(&server, &rotated, json!({})).await;
    let moved_since = site.rotate(&server, &moved, json!({})).await;
    let issued_since = site.credential_of(&server, &agent).await;
    for ended in [&revoked, &ended_digest] {
        site.revoke(&server, ended).await;
    }
    server.revoke_token(&site.operator, &ended_token).await;
    // The counter is advanced by a server that has watched: here at its next start.
    server.stop().await;
    site.serve(&[]).await.stop().await;
    site.done("restore the database").await;

    let server = site.serve(&[]).await;
    let clients =
        [&hashed, &same, &rotated, &rotated_since, &moved, &moved_since, &issued_since, &revoked, &ended_digest];
    assert_eq!(statuses(&server, &clients).await, [200, 200, 200, 401, 200, 401, 401, 500, 200], "the table");
    server.stop().await;
    let (is_decided, told) = site.follow("what differs").await;
    assert!(!is_decided, "{told}");
    let named = [
        line("version_behind", &rotated),
        line("path_not_pointed_to", &moved),
        line("path_without_row", &issued_since),
        line("row_without_path", &revoked),
        line("digest", &ended_digest),
        format!("token: {} of client {}", crate::binary::token_id(&ended_token), hashed.id),
        "The database is older than Vault.".to_owned(),
        "choose: --ahead row, latest or both".to_owned(),
    ];
    names(&told, &named);
    assert!(!told.contains("Nothing needs"), "{told}");

    let told = site.done("both count").await;
    names(&told, &["2 settled; 0 were changed meanwhile; 0 wait for a choice.".to_owned()]);
    site.done("admit").await;
    let server = site.serve(&[]).await;
    assert_eq!(statuses(&server, &clients).await, [200, 200, 200, 200, 200, 200, 401, 500, 200], "nobody is refused");
    for named in [&revoked, &ended_digest] {
        site.revoke(&server, named).await;
    }
    server.stop().await;
    let told = site.done("remove what was issued since").await;
    names(&told, &["1 removed".to_owned()]);
    assert!(!site.holds(&issued_since).await);
    names(&site.done("nothing is left").await, &["0 found, 0 for you to mend".to_owned()]);
}

#[tokio::test]
async fn a_vault_that_is_older_than_the_database() {
    let site = Site::new().await;
    let server = site.serve(&[]).await;
    let agent = server.agent(&site.operator).await;
    let (same, rotated, overlapping, revoked) = (
        site.credential(&server).await,
        site.credential(&server).await,
        site.credential(&server).await,
        site.credential(&server).await,
    );
    site.done("back up vault").await;

    let rotated_since = site.rotate(&server, &rotated, json!({})).await;
    let overlapping_since = site.rotate(&server, &overlapping, json!({ "overlapSeconds": 3600 })).await;
    let issued_since = site.credential_of(&server, &agent).await;
    site.revoke(&server, &revoked).await;
    server.stop().await;
    // More than a day later its deletion is not repeated any more.
    let mut database = PgConnection::connect(&site.database).await.unwrap();
    sqlx::query("DELETE FROM purge_debts").execute(&mut database).await.unwrap();
    site.serve(&[]).await.stop().await;
    site.done("restore vault").await;
    // The node gives up being active for a moment.
    support::process::until("Vault to serve what it has now", async || {
        let read = async |client| site.bao.call(site.bao.root_token(), Method::GET, &site.path(client), None).await.0;
        read(&same).await == 200 && read(&issued_since).await == 404
    })
    .await;

    let server = site.serve(&[]).await;
    let clients = [&same, &rotated, &rotated_since, &overlapping, &overlapping_since, &issued_since, &revoked];
    assert_eq!(statuses(&server, &clients).await, [200, 500, 500, 200, 500, 500, 401], "the table");
    server.stop().await;
    let (is_decided, told) = site.follow("what differs").await;
    assert!(!is_decided && !told.contains("counts again"), "{told}");
    let named = [
        line("version_missing", &rotated),
        line("version_missing", &overlapping),
        line("row_without_path", &issued_since),
        line("path_of_ended", &revoked),
        "Vault is older than the database.".to_owned(),
        "choose: --gone row or latest".to_owned(),
    ];
    names(&told, &named);

    names(&site.done("what vault has counts").await, &["2 settled; 0 were changed meanwhile".to_owned()]);
    site.done("admit").await;
    let server = site.serve(&[]).await;
    assert_eq!(statuses(&server, &clients).await, [200, 200, 401, 200, 401, 500, 401]);
    let again = site.rotate(&server, &issued_since, json!({})).await;
    assert_eq!(server.token(&again).await.0, 200, "a lost secret is replaced");
    support::process::until("what was revoked to be deleted again", async || !site.holds(&revoked).await).await;
    server.stop().await;
    names(&site.done("nothing is left").await, &["0 found, 0 for you to mend".to_owned()]);
}
