//! A database role that may not do all that the server does.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::replicas::Shared;
use crate::support;
use crate::support::process::until;

async fn sql(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// The owner of the tables may make more, and has taken a right from itself, as from everybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_logins_need_makes_a_server_unready_and_each_is_named() {
    let url = support::postgres().fresh_database().await;
    let owner = Shared::on(&url, None).await;
    owner.serve(&[]).await.stop().await;
    let role = format!("member_{}", uuid::Uuid::new_v4().simple());
    sql(&url, &format!("CREATE ROLE {role} LOGIN IN ROLE agentidp")).await;
    let url_of_member = url.replace("agentidp@", &format!("{role}@"));
    let member = Shared::on(&url_of_member, None).await;
    let running = member.serve(&[]).await;
    let client = running.agent_with_credential(&member.operator).await;
    let ready = async || {
        let answer = reqwest::get(format!("{}/ready", running.origin)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    until("the first round", async || ready().await.0 == 200).await;
    let check = async || {
        let output = member.place.run(&["check"], &member.settings(&[])).await;
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert!(check().await.0 == Some(0) && !member.place.log().contains("lacks"), "{}", member.place.log());

    sql(&url, "REVOKE INSERT ON audit_events FROM agentidp").await;
    assert_eq!(running.token(&client).await.0, 503);
    until("readiness to say so", async || {
        let (status, text) = ready().await;
        status == 503 && text.contains("refuses_writes")
    })
    .await;
    let (code, table) = check().await;
    assert!(code == Some(1) && table.contains("this role lacks INSERT on audit_events: GRANT"), "{table}");
    sql(&url, "GRANT INSERT ON audit_events TO agentidp").await;
    until("readiness", async || ready().await.0 == 200).await;
    assert_eq!(running.token(&client).await.0, 200);
    running.stop().await;

    // A table of a later release, and one that logins do without.
    sql(&url, "REVOKE ALL ON unrecorded FROM agentidp; REVOKE DELETE ON purge_debts FROM agentidp").await;
    let lacks = "lacks DELETE on purge_debts, SELECT on unrecorded, INSERT on unrecorded, UPDATE on unrecorded:";
    let (code, table) = check().await;
    assert!(code == Some(1) && table.contains(&format!("this role {lacks}")), "{table}");
    let running = member.serve(&[]).await;
    assert_eq!(member.place.log().matches(lacks).count(), 1, "{}", member.place.log());
    assert_eq!(running.token(&client).await.0, 200, "it serves what it can");
}
