//! Introspection and revocation as OAuth libraries ask for them: with the client's own authentication.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use serde_json::{Value, json};
use uuid::Uuid;

use super::site::{Reply, Site};

const FORM: &str = "application/x-www-form-urlencoded";
const BOTH: [&str; 2] = ["introspect", "revoke"];

/// What is sent (name, headers, the rest of the form), and what comes back (status, our code, OAuth's).
type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, String, u16, &'a str, &'a str);

/// Asks `endpoint` with these headers and this form.
async fn ask(site: &Site, endpoint: &str, headers: &[(&str, &str)], form: &str) -> Reply {
    let request = hyper::Request::post(format!("/api/v1/token/{endpoint}")).header(CONTENT_TYPE, FORM);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    site.exchange(request.body(Full::new(Bytes::from(form.to_owned()))).unwrap()).await
}

fn basic(client_id: Uuid, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{client_id}:{secret}")))
}

/// RFC 7662 §2.1, RFC 7009 §2.1.
#[tokio::test]
async fn a_client_asks_about_its_own_tokens_by_basic_and_by_form() {
    let site = Site::bcrypt().await;
    let (agent, other) = (site.agent("a@example.com").await, site.agent("b@example.com").await);
    let ((_, secret), (_, others_secret)) = (site.credential(agent).await, site.credential(other).await);
    let (basic, in_form) = (basic(agent, &secret), format!("&client_id={agent}&client_secret={secret}"));
    let ways = [(vec![("authorization", basic.as_str())], ""), (vec![], in_form.as_str())];
    let others = site.granted(other, &others_secret).await;
    for (headers, credentials) in &ways {
        let ask = async |endpoint, token: &str| {
            ask(&site, endpoint, headers, &format!("token={token}&token_type_hint=access_token{credentials}")).await
        };
        let token = site.granted(agent, &secret).await;
        let live = ask("introspect", &token).await.json();
        assert_eq!((&live["active"], &live["client_id"]), (&json!(true), &json!(agent)));
        for unknown in [others.as_str(), site.operator.as_str(), "rubbish"] {
            assert_eq!(ask("introspect", unknown).await.json(), json!({ "active": false }), "not its own");
        }
        assert_eq!(ask("revoke", &token).await.status, 200);
        assert_eq!(ask("introspect", &token).await.json(), json!({ "active": false }));
        assert_eq!(ask("revoke", &token).await.status, 200, "again");
        assert_eq!(ask("revoke", "rubbish").await.status, 200);
        for foreign in [others.as_str(), site.operator.as_str()] {
            let refused = ask("revoke", foreign).await;
            assert_eq!(
                (refused.failure(), refused.refusal().1),
                ((403, "FORBIDDEN".to_owned()), "unauthorized_client".to_owned())
            );
            assert_eq!(site.send(foreign, "GET", "/agents", "").await.status, 200, "it still works");
        }
    }
    let trail = site.get(&format!("/audit?agentId={agent}&action=token.revoked")).await.json();
    assert_eq!((&trail["total"], &trail["data"][0]["metadata"]["actor"]), (&json!(2), &json!(agent)));
}

#[tokio::test]
async fn a_client_that_does_not_prove_itself_is_refused_in_both_forms() {
    let site = Site::bcrypt().await;
    let (agent, suspended) = (site.agent("a@example.com").await, site.agent("b@example.com").await);
    let ((_, secret), (_, of_suspended)) = (site.credential(agent).await, site.credential(suspended).await);
    site.call("PATCH", &format!("/agents/{suspended}"), json!({ "status": "suspended" })).await;
    let bearer = format!("Bearer {}", site.token(agent));
    let (right, wrong, of_suspended) = (basic(agent, &secret), basic(agent, "wrong"), basic(suspended, &of_suspended));
    let (authorization, by_form) = ("authorization", format!("&client_id={agent}&client_secret={secret}"));
    let table: [Case<'_>; 15] = [
        ("wrong by Basic", vec![(authorization, &wrong)], String::new(), 401, "UNAUTHORIZED", "invalid_client"),
        (
            "wrong by form",
            vec![],
            format!("&client_id={agent}&client_secret=wrong"),
            401,
            "UNAUTHORIZED",
            "invalid_client",
        ),
        (
            "unknown",
            vec![],
            format!("&client_id={}&client_secret=a", Uuid::nil()),
            401,
            "UNAUTHORIZED",
            "invalid_client",
        ),
        ("broken Basic", vec![(authorization, "Basic ???")], String::new(), 401, "UNAUTHORIZED", "invalid_client"),
        ("suspended", vec![(authorization, &of_suspended)], String::new(), 403, "FORBIDDEN", "unauthorized_client"),
        ("no authentication", vec![], String::new(), 401, "UNAUTHORIZED", "invalid_client"),
        ("an id alone", vec![], format!("&client_id={agent}"), 401, "UNAUTHORIZED", "invalid_client"),
        ("a bad bearer", vec![(authorization, "Bearer a.b.c")], String::new(), 401, "UNAUTHORIZED", "invalid_token"),
        ("Basic and form", vec![(authorization, &right)], by_form.clone(), 400, "VALIDATION_ERROR", "invalid_request"),
        (
            "Bearer and form",
            vec![(authorization, &bearer)],
            by_form.clone(),
            400,
            "VALIDATION_ERROR",
            "invalid_request",
        ),
        (
            "Bearer and Basic",
            vec![(authorization, &bearer), (authorization, &right)],
            String::new(),
            400,
            "VALIDATION_ERROR",
            "invalid_request",
        ),
        (
            "Basic and assertion",
            vec![(authorization, &right)],
            "&client_assertion=a".to_owned(),
            400,
            "VALIDATION_ERROR",
            "invalid_request",
        ),
        (
            "Bearer and assertion",
            vec![(authorization, &bearer)],
            "&client_assertion=a".to_owned(),
            400,
            "VALIDATION_ERROR",
            "invalid_request",
        ),
        (
            "form and assertion",
            vec![],
            format!("{by_form}&client_assertion=a"),
            400,
            "VALIDATION_ERROR",
            "invalid_request",
        ),
        (
            "assertion alone",
            vec![],
            format!("&client_id={agent}&client_assertion=a"),
            400,
            "VALIDATION_ERROR",
            "invalid_request",
        ),
    ];
    for endpoint in BOTH {
        for (what, headers, credentials, status, code, error) in &table {
            let reply = ask(&site, endpoint, headers, &format!("token=rubbish{credentials}")).await;
            assert_eq!(reply.failure(), (*status, (*code).to_owned()), "{endpoint}, {what}: {reply:?}");
            assert_eq!(reply.refusal().1, *error, "{endpoint}, {what}");
            assert!(reply.json()["message"].is_string() && reply.json()["error_description"].is_string(), "{what}");
            let basic = what.ends_with("Basic") && *status == 401;
            let challenge = reply.header("www-authenticate").unwrap_or_default();
            assert_eq!(challenge.starts_with("Basic "), basic, "{endpoint}, {what}: {challenge}");
        }
        for form in ["", "token=", "token=a&token=b"] {
            let reply = ask(&site, endpoint, &[(authorization, &right)], form).await;
            assert_eq!(
                (reply.failure().1, reply.refusal().1),
                ("VALIDATION_ERROR".to_owned(), "invalid_request".to_owned()),
                "{form}"
            );
        }
    }
    let failures = site.get("/audit?action=auth.failed").await.json();
    assert_eq!(failures["total"], 10, "five of a kind at each endpoint are on the trail");
    assert!(failures["data"].as_array().unwrap().iter().all(|event| event["outcome"] == "failure"));
}

#[tokio::test]
async fn what_is_no_form_holds_no_credentials() {
    let site = Site::bcrypt().await;
    for endpoint in BOTH {
        let request =
            hyper::Request::post(format!("/api/v1/token/{endpoint}")).header(CONTENT_TYPE, "application/json");
        let reply = site.exchange(request.body(Full::from("{}")).unwrap()).await;
        assert_eq!(
            (reply.failure(), &reply.json()["error"]),
            ((401, "UNAUTHORIZED".to_owned()), &Value::from("invalid_client"))
        );
        assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"agentidp\""));
    }
}

/// RFC 9110 §11.4: one or more spaces follow the scheme, in any case, or nothing does.
#[tokio::test]
async fn a_scheme_is_known_by_its_name_alone() {
    let site = Site::bcrypt().await;
    let agent = site.agent("a@example.com").await;
    let (_, secret) = site.credential(agent).await;
    let spaced = basic(agent, &secret).replace("Basic ", "bASIC   ");
    let bearer = format!("bEARER   {}", site.token(agent));
    for endpoint in BOTH {
        for authorization in [&spaced, &bearer] {
            let reply = ask(&site, endpoint, &[("authorization", authorization)], "token=rubbish").await;
            assert_eq!(reply.status, 200, "{endpoint} {authorization}");
        }
        let reply = ask(&site, endpoint, &[("authorization", "Basic")], "token=rubbish").await;
        assert_eq!(reply.refusal(), (401, "invalid_client".to_owned()), "{endpoint}");
        assert!(reply.header("www-authenticate").unwrap().starts_with("Basic "), "{endpoint}: {reply:?}");
    }
    assert_eq!(site.bare("GET", "/api/v1/agents", &[("authorization", &bearer)]).await.status, 200);
    let granted = site.token_with(&[("authorization", &spaced)], "grant_type=client_credentials").await;
    assert_eq!(granted.status, 200, "{granted:?}");
}
