//! What the report counts agrees with SQL.

use std::time::{Duration, SystemTime};

use agentidp_secrets::lifecycle::Summary;
use serde_json::json;
use sqlx::Connection as _;

use super::site::Site;
use super::support;
use super::wired::{restart, restart_with_vault};

const KEYS: (&str, &str) = ("MAC_KEYS", "k1:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92");
const KEYED: (&str, &str) = ("SECRET_BACKEND", "keyed-digest");
const DAY: Duration = Duration::from_secs(86_400);

/// Each secret that counts, by hand; then the counts of each kind. $1 is the time in milliseconds.
const COUNTS: &str = "
    WITH times AS (SELECT $1::bigint AS now, 86400000::bigint AS day),
    secrets AS (
        SELECT vault_path AS path, secret_hash AS hash, false AS previous, last_used_at AS used, since, created_at, expires_at,
            expires_at AS ends
        FROM credentials LEFT JOIN credential_usage USING (credential_id) WHERE status = 'active'
        UNION ALL
        SELECT previous_path, previous_hash, true, previous_last_used_at, since, created_at, expires_at, least(expires_at, previous_expires_at)
        FROM credentials LEFT JOIN credential_usage USING (credential_id), times
        WHERE status = 'active' AND previous_of = revision AND extract(epoch FROM previous_expires_at) * 1000 > now)
    SELECT CASE WHEN path IS NOT NULL THEN 'vault-kv2' WHEN hash LIKE '$hmac%' THEN 'keyed-digest' ELSE 'bcrypt' END AS backend,
        CASE WHEN path IS NOT NULL THEN NULL WHEN hash LIKE '$hmac%' THEN substring(hash FROM 'keyid=[^$]*')
             ELSE 'cost=' || substring(hash FROM 5 FOR 2)::int END AS parameters,
        previous, count(*), count(CASE WHEN used + day > now THEN 1 END), count(CASE WHEN used + 30 * day > now THEN 1 END),
        count(CASE WHEN used IS NULL THEN 1 END), count(CASE WHEN since + 90 * day > now THEN 1 END),
        count(CASE WHEN since IS NULL THEN 1 END),
        count(CASE WHEN coalesce(since, extract(epoch FROM created_at) * 1000) + 90 * day <= now THEN 1 END),
        count(CASE WHEN extract(epoch FROM ends) * 1000 <= now + 7 * day
                   AND coalesce(extract(epoch FROM expires_at) * 1000 > now, true) THEN 1 END),
        count(CASE WHEN extract(epoch FROM expires_at) * 1000 <= now THEN 1 END)
    FROM secrets, times GROUP BY 1, 2, 3";

type Line = (String, Option<String>, bool, i64, i64, i64, i64, i64, i64, i64, i64, i64);

#[tokio::test]
async fn every_count_of_the_report_agrees_with_sql() {
    let url = support::postgres().fresh_database().await;
    let (bao, mount) = (support::bao(), support::bao().fresh_mount(2).await);
    let mut site = Site::build_at(&url, |_| {}).await;
    let agent = site.agent("a@example.com").await;
    let mut made = Vec::new();
    let vault = [KEYS, ("SECRET_BACKEND", "vault-kv2")];
    for settings in [&[KEYS][..], &[KEYS, ("BCRYPT_COST", "11")], &[KEYS, KEYED], &vault] {
        // Of a setting that is there twice the first counts.
        restart_with_vault(&mut site, bao, &mount, &[settings, &[("SECRET_BACKEND", "bcrypt")]].concat()).await;
        for number in 0..4_u32 {
            let until = site.app.now().plus((10 + 30 * number) * DAY).to_string();
            let path = format!("/agents/{agent}/credentials");
            let reply = site.call("POST", &path, json!({ "expiresAt": until })).await;
            made.push((reply.id("credentialId"), reply.secret()));
        }
    }
    // Two of each kind are used, and rotated to Vault with an overlap of a week.
    for (credential, secret) in made.chunks(4).flat_map(|four| &four[1..3]) {
        site.granted(agent, secret).await;
        let path = format!("/agents/{agent}/credentials/{credential}/rotate");
        site.call("POST", &path, json!({ "overlapSeconds": 604_800 })).await;
        site.app.life().write_uses().await;
        site.clock.advance(DAY);
    }
    restart(&mut site, &[KEYS]).await;
    // Without Vault its secrets count all the same.
    for _ in 0..4 {
        assert_agrees(&site, &url).await;
        site.clock.advance(8 * DAY);
    }
}

async fn assert_agrees(site: &Site, url: &str) {
    let now: SystemTime = site.app.now().into();
    let mut summary = Summary::at(now);
    site.app.life().report(&mut |reported| summary.add(reported)).await.unwrap();
    let mut told: Vec<Line> = summary
        .kinds()
        .map(|(kind, counts)| {
            let [all, day, month, never, rotated, unrotated, old, ending, expired] = [
                counts.secrets,
                counts.used_in_a_day,
                counts.used_in_30_days,
                counts.never_used,
                counts.rotated_in_90_days,
                counts.never_rotated,
                counts.older_than_90_days,
                counts.ending_in_7_days,
                counts.expired,
            ]
            .map(u64::cast_signed);
            let backend = kind.backend.as_ref().unwrap().to_string();
            (
                backend,
                kind.parameters.clone(),
                kind.is_previous,
                all,
                day,
                month,
                never,
                rotated,
                unrotated,
                old,
                ending,
                expired,
            )
        })
        .collect();
    told.sort();
    let millis = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let mut database = sqlx::PgConnection::connect(url).await.unwrap();
    let counted = sqlx::query_as(COUNTS).bind(i64::try_from(millis).unwrap()).fetch_all(&mut database).await;
    let mut counted: Vec<Line> = counted.unwrap();
    counted.sort();
    assert_eq!(told, counted);
    assert!(told.len() >= 4, "{told:?}");
}
