//! Columns and records are two forms of one thing.

use super::*;

fn columns(hash: Option<&str>, path: Option<&str>, version: Option<i64>) -> SecretColumns {
    SecretColumns {
        secret_hash: hash.map(str::to_owned),
        vault_path: path.map(str::to_owned),
        vault_version: version,
        ..SecretColumns::default()
    }
}

#[test]
fn columns_and_record_are_two_forms_of_one_thing() {
    let table = [
        (columns(Some("$2b$10$digest"), None, None), "{bcrypt}$2b$10$digest"),
        (columns(Some("$argon2id$v=19$rest"), None, None), "{argon2}$argon2id$v=19$rest"),
        (columns(Some("$hmac-sha256$rest"), None, None), "{keyed-digest}$hmac-sha256$rest"),
        (columns(None, Some("secret/data/a/b"), Some(3)), "{vault-kv2}secret/data/a/b?version=3"),
        (columns(None, Some("secret/data/a/b"), None), "{vault-kv2}secret/data/a/b"),
    ];
    for (columns, text) in table {
        assert_eq!(columns.to_record().unwrap().to_text(), text);
        assert_eq!(SecretColumns::from_record(&StoredSecret::parse(text).unwrap()).unwrap(), columns);
    }
}

#[test]
fn the_time_of_a_write_counts_for_its_own_version_only() {
    let text = "{vault-kv2}secret/data/a/b?version=3&created=2026-03-28T09:00:00.5Z";
    let row = SecretColumns::from_record(&StoredSecret::parse(text).unwrap()).unwrap();
    assert_eq!(row.vault_written.as_deref(), Some("3 2026-03-28T09:00:00.5Z"));
    assert_eq!(row.to_record().unwrap().to_text(), text);
    let by_an_older_server = SecretColumns { vault_version: Some(4), ..row };
    assert_eq!(by_an_older_server.to_record().unwrap().payload(), "secret/data/a/b?version=4");
}

#[test]
fn a_path_wins_over_a_left_over_digest() {
    let both = columns(Some("$2b$10$digest"), Some("secret/data/a/b"), Some(1));
    assert_eq!(both.to_record().unwrap().backend(), &BackendId::VAULT_KV2);
}

#[test]
fn what_is_no_record_is_refused() {
    for broken in [
        columns(None, None, None),
        columns(Some(""), None, None),
        columns(Some("plain"), None, None),
        columns(Some("secret/data/a/b"), None, None),
        columns(None, Some("secret/data/a/b"), Some(0)),
        columns(None, Some("secret/data/a/b"), Some(-1)),
    ] {
        assert_eq!(broken.to_record().unwrap_err().kind(), ErrorKind::Malformed, "{broken:?}");
    }
    let foreign = StoredSecret::parse("{memory}a/b?version=1").unwrap();
    assert!(SecretColumns::from_record(&foreign).is_err());
}

#[test]
fn a_selector_stands_beside_the_record_and_a_damaged_one_is_none() {
    let record = StoredSecret::parse("{bcrypt}$2b$10$digest").unwrap();
    let selector = Selector::parse("k1:0123456789abcdef").unwrap();
    let row = SecretColumns::new(&record, Some(selector)).unwrap();
    assert_eq!(row.secret_selector.as_deref(), Some("k1:0123456789abcdef"));
    assert!(row.to_secrets().unwrap().selector.is_some());
    for damaged in ["", "k1:0123", "rubbish"] {
        let row = SecretColumns { secret_selector: Some(damaged.to_owned()), ..row.clone() };
        assert!(row.to_secrets().unwrap().selector.is_none(), "{damaged}");
    }
}

#[test]
fn debug_shows_neither_digest_nor_path_nor_selector() {
    let columns = SecretColumns {
        secret_selector: Some("k1:canary".to_owned()),
        ..columns(Some("$2b$10$canary"), Some("secret/data/canary"), Some(1))
    };
    assert!(!format!("{columns:?} {columns:#?}").contains("canary"));
}
