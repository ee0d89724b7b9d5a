//! Two deployments on one mount, as operators meet them: the refused start, `check`, `admit`, `reconcile --remove-paths`.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

use crate::binary::{Client, Place, Running};
use crate::support;
use crate::support::bao::{Mount, least_privilege};
use crate::support::process::until;

/// A mount whose token may list, as the two documented policies allow.
async fn listable_mount() -> Mount {
    let mount = support::bao().fresh_mount(2).await;
    let list = format!("path \"{}/metadata/agentidp/*\" {{ capabilities = [\"list\"] }}\n", mount.name);
    support::bao().write_policy(&mount.name, &(least_privilege(&mount.name) + &list)).await;
    mount
}

fn with_vault<'a>(mount: &'a Mount, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let vault = [
        ("VAULT_ADDR", support::bao().address()),
        ("VAULT_TOKEN", mount.policy_token.as_str()),
        ("VAULT_KV_MOUNT", mount.name.as_str()),
    ];
    [&vault, more].concat()
}

/// Exit code, standard output and standard error of a command.
async fn run(place: &Place, arguments: &[&str], settings: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = place.run(arguments, settings).await;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn health(server: &Running) -> Value {
    reqwest::get(format!("{}/health", server.origin)).await.unwrap().json().await.unwrap()
}

async fn metrics(server: &Running) -> String {
    reqwest::get(format!("{}/metrics", server.origin)).await.unwrap().text().await.unwrap()
}

/// A database with a row of its own.
async fn with_a_row(place: &Place) -> String {
    let operator = place.operator(&[]).await;
    let server = place.serve(&[]).await;
    server.agent_with_credential(&operator).await;
    server.stop().await;
    operator
}

#[tokio::test]
async fn an_empty_database_on_anothers_folder_does_not_start() {
    let (first, second, mount) = (Place::new(), Place::new(), listable_mount().await);
    let settings = with_vault(&mount, &[]);
    let (code, table, _) = run(&first, &["check"], &settings).await;
    assert!(code == Some(0) && table.contains("the folder is unclaimed"), "{table}");
    let operator = first.operator(&[]).await;
    let server = first.serve(&settings).await;
    let client = server.agent_with_credential(&operator).await;
    let (code, table, _) = run(&first, &["check"], &settings).await;
    assert!(code == Some(0) && table.contains("the folder is this database's"), "{table}");

    for _ in 0..2 {
        let (code, _, line) = run(&second, &[], &[&settings[..], &[("PORT", "0"), ("RUST_LOG", "off")]].concat()).await;
        assert_eq!(code, Some(2), "{line}");
        for text in ["VAULT_PREFIX names the folder `agentidp`", "DATABASE_URL", "`agentidp-server admit`"] {
            assert!(line.contains(text) && line.lines().count() == 1, "{line}");
        }
        let (code, table, _) = run(&second, &["check"], &settings).await;
        let failed = table.lines().any(|line| line.starts_with("FAIL") && line.contains("belongs to another database"));
        assert!(code == Some(1) && failed && table.contains("VAULT_PREFIX"), "{table}");
    }
    // What the message names works: a folder of its own, with its own policy, on the same mount.
    let policy = least_privilege(&mount.name).replace("/agentidp/", "/team/idp/");
    let name = format!("{}-other", mount.name);
    support::bao().write_policy(&name, &policy).await;
    let token = support::bao().create_token(json!({ "policies": [name], "period": "768h" })).await;
    let own = [("VAULT_PREFIX", "team/idp"), ("VAULT_TOKEN", &token)];
    let other = second.serve(&with_vault(&mount, &own)).await;
    let operator = second.operator(&[]).await;
    let neighbour = other.agent_with_credential(&operator).await;
    assert_eq!((other.token(&neighbour).await.0, server.token(&client).await.0), (200, 200));
    let path = |folder: &str, client: &Client| {
        format!("{}/data/{folder}/agents/{}/credentials/{}", mount.name, client.id, client.credential)
    };
    assert!(support::bao().metadata_exists(&path("team/idp", &neighbour)).await);
    let (code, table, _) = run(&second, &["check"], &with_vault(&mount, &own)).await;
    assert!(code == Some(0) && table.contains(&format!("{}/data/team/idp/*", mount.name)), "{table}");
    other.stop().await;

    // A changed prefix is a move: the row is told, and a rotation brings it along.
    let (code, told, _) = run(&second, &["reconcile"], &with_vault(&mount, &[])).await;
    assert!(code == Some(1) && told.contains("elsewhere: ") && told.contains("VAULT_PREFIX"), "{told}");
    server.stop().await;
}

#[tokio::test]
async fn admit_says_what_it_found_and_asks() {
    let (first, second, mount) = (Place::new(), Place::new(), listable_mount().await);
    let settings = with_vault(&mount, &[]);
    let (code, told, _) = run(&first, &["migrate"], &settings).await;
    assert_eq!(code, Some(0), "{told}");
    let (code, told, _) = run(&first, &["admit", "--yes"], &settings).await;
    assert!(code == Some(0) && told.contains("No database has claimed") && told.contains("Nothing needs"), "{told}");
    first.serve(&settings).await.stop().await;
    let operator = with_a_row(&second).await;
    let server = second.serve(&settings).await;
    let stopped = health(&server).await;
    assert_eq!((&stopped["status"], &stopped["ledger"]), (&json!("degraded"), &json!("disagrees")));
    assert!(metrics(&server).await.contains("agentidp_ledger_state{state=\"disagrees\"} 1"));
    assert!(second.log().contains("nothing is deleted there: set VAULT_PREFIX"), "{}", second.log());
    let client = server.agent_with_credential(&operator).await;
    let path = format!("/api/v1/agents/{}/credentials/{}", client.id, client.credential);
    assert_eq!(server.status(&operator, Method::DELETE, &path).await, 204);
    let (code, said, problem) = run(&second, &["reconcile"], &settings).await;
    assert!(code == Some(1) && said.contains("1 due purges left"), "{said}");
    assert!(problem.contains("nothing is deleted: the folder in Vault belongs to another database"), "{problem}");
    let (code, told, problem) = run(&second, &["admit"], &settings).await;
    assert!(code == Some(1) && problem.contains("nothing was changed"), "without an answer: {told} {problem}");
    assert!(told.contains("1 other ledgers stay admitted") && told.contains("Admit this database?"), "{told}");

    let (code, told, problem) = run(&second, &["admit", "--yes"], &settings).await;
    assert!(code == Some(0) && told.contains("is admitted"), "{told} {problem}");
    until("the server to go on", async || health(&server).await["ledger"] == "agrees").await;
    assert_eq!(health(&server).await["status"], "ok");
    let forgotten = format!("{}/data/agentidp/agents/{}/credentials/{}", mount.name, client.id, client.credential);
    until("the purge", async || !support::bao().metadata_exists(&forgotten).await).await;
    server.stop().await;
}

#[tokio::test]
async fn paths_without_a_row_are_removed_by_their_number_and_only_on_a_folder_of_ones_own() {
    let (place, other, mount) = (Place::new(), Place::new(), listable_mount().await);
    let settings = with_vault(&mount, &[]);
    place.serve(&settings).await.stop().await;
    let orphan = |number: usize| {
        let id = uuid::Uuid::from_u128(number as u128 + 1);
        format!("{}/data/agentidp/agents/{id}/credentials/{id}", mount.name)
    };
    for number in 0..2 {
        support::bao().write_root(&orphan(number), "sk_live_orphan").await;
    }
    let remove = async |count: &str, yes: &[&str]| {
        run(&place, &[&["reconcile", "--remove-paths", count], yes].concat(), &settings).await
    };
    let (code, told, _) = run(&place, &["reconcile"], &settings).await;
    assert!(code == Some(1) && told.contains("2 found, 2 for you to mend"), "{told}");
    for (count, yes, why) in [
        ("3", &["--yes"][..], "2 paths without a row were found, and --remove-paths says 3"),
        ("2", &[], "nothing was removed"),
    ] {
        let (code, _, problem) = remove(count, yes).await;
        assert!(code == Some(1) && problem.contains(why), "{problem}");
    }
    with_a_row(&other).await;
    assert_eq!(run(&other, &["admit", "--yes"], &settings).await.0, Some(0));
    let (code, _, problem) = remove("2", &["--yes"]).await;
    assert!(code == Some(1) && problem.contains("the paths may be theirs"), "{problem}");
    assert!(support::bao().metadata_exists(&orphan(0)).await && support::bao().metadata_exists(&orphan(1)).await);
    assert_eq!(run(&place, &["admit", "--only", "--yes"], &settings).await.0, Some(0));
    let (code, told, problem) = remove("2", &["--yes"]).await;
    assert!(code == Some(0) && told.ends_with("2 removed, 0 left because their credential is active or has a purge\n"));
    assert!(!support::bao().metadata_exists(&orphan(0)).await && !support::bao().metadata_exists(&orphan(1)).await);

    // The first two would be deleted once more, by the repetition of their purge.
    for number in 2..=102 {
        support::bao().write_root(&orphan(number), "sk_live_orphan").await;
    }
    let (code, _, why) = remove("101", &["--yes"]).await;
    assert!(code == Some(1) && why.contains("more than the 100"), "{why} {problem}");
}

/// `REAL_MINUTES=12` runs it for so long, with the real two minutes of watching and a copy of the first database.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_deployment_and_a_copy_touch_nothing_of_the_first() {
    let minutes: Option<u64> =
        std::env::var_os("REAL_MINUTES").map(|minutes| minutes.to_str().unwrap().parse().unwrap());
    let (first, second, mount) = (Place::new(), Place::new(), listable_mount().await);
    let watch = if minutes.is_some() { "120s" } else { "0s" };
    let settings = with_vault(&mount, &[("RECONCILE_INTERVAL", "5s"), ("AGENTIDP_LEDGER_WATCH", watch)]);
    let operator = first.operator(&[]).await;
    let original = first.serve(&settings).await;
    let mut clients = Vec::new();
    for _ in 0..30 {
        clients.push(original.agent_with_credential(&operator).await);
    }
    with_a_row(&second).await;
    let intruder = second.serve(&settings).await;
    until("its comparison", async || metrics(&intruder).await.contains("{class=\"path_without_row\"} 30")).await;
    let copy = match minutes {
        Some(_) => {
            let place = copy_of(&first).await;
            let copy = place.serve(&settings).await;
            let path = format!("/api/v1/agents/{}/credentials/{}", clients[0].id, clients[0].credential);
            assert_eq!(copy.status(&operator, Method::DELETE, &path).await, 204);
            Some((place, copy))
        }
        None => None,
    };
    for second in 0..minutes.unwrap_or_default() * 6 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        if let Some((_, copy)) = &copy
            && second % 6 == 5
        {
            let states = [&original, &intruder, copy].map(health);
            let [a, b, c] = ledgers(states).await;
            println!("minute {}: first {a}, second {b}, copy {c}", second / 6 + 1);
        }
    }
    let mut accepted = 0;
    for client in &clients {
        accepted += u32::from(original.token(client).await.0 == 200);
    }
    println!("{accepted} of {} secrets of the first are accepted", clients.len());
    assert_eq!(accepted, 30);
    assert_eq!(health(&original).await["ledger"], "agrees");
    assert_eq!(health(&intruder).await["ledger"], "disagrees");
    if let Some((_, copy)) = copy {
        assert_eq!(health(&copy).await["ledger"], "disagrees");
        copy.stop().await;
    }
    intruder.stop().await;
    original.stop().await;
}

async fn ledgers(states: [impl Future<Output = Value>; 3]) -> [String; 3] {
    let [a, b, c] = states;
    let (a, b, c) = tokio::join!(a, b, c);
    [a, b, c].map(|health| health["ledger"].as_str().unwrap_or_default().to_owned())
}

/// A place with the database and the key of another one, as they are now.
async fn copy_of(place: &Place) -> Place {
    let copy = Place::new();
    std::fs::create_dir(copy.data("")).unwrap();
    std::fs::copy(place.data("jwt-key.pem"), copy.data("jwt-key.pem")).unwrap();
    let url = format!("sqlite:{}", place.data("agentidp.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let into = copy.data("agentidp.db").display().to_string();
    sqlx::query("VACUUM INTO $1").bind(into).execute(&mut connection).await.unwrap();
    copy
}
