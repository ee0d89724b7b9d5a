//! What goes in comes out, and takes few bytes.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "[0-9A-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "[0-9a-f-]{36}",
        "[a-zé ]{1,60}",
        "[a-z]{255}",
    ]
}

fn record() -> impl Strategy<Value = StoredSecret> {
    let backend = prop_oneof!["bcrypt", "vault-kv2", "vault-kv2:eu", "mine", "memory"];
    let payload = prop_oneof![
        "[ -~]{0,200}",
        "\\$2[abxy]\\$1[0-4]\\$[./A-Za-z0-9]{53}",
        "\\$hmac-sha256\\$v=1\\$keyid=[a-z]{1,9}\\$[0-9a-f]{32}\\$[0-9a-f]{64}",
        "\\$argon2id\\$v=19\\$m=19456,t=2,p=1\\$[A-Za-z0-9+/]{22}\\$[A-Za-z0-9+/]{43}",
        "[0-9a-fé]{0,40}[./A-Z0-9]{0,40}[+0-9a-f]{0,40}",
    ];
    let known = (backend, payload).prop_map(|(id, payload)| StoredSecret::new(BackendId::of(&id).unwrap(), payload));
    prop_oneof![known, "[a-z]{1,9}".prop_map(|text| StoredSecret::new(BackendId::UNCLAIMED, text))]
}

fn time() -> impl Strategy<Value = SystemTime> {
    (any::<bool>(), 0_u64..1 << 40, 0_u32..1_000_000_000).prop_map(|(is_before, seconds, nanos)| {
        let distance = Duration::new(seconds, nanos);
        if is_before { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance }
    })
}

fn selector() -> impl Strategy<Value = Selector> {
    "[a-z0-9-]{1,16}::?[0-9a-f]{16}".prop_map(|text| Selector::parse(&text).unwrap())
}

fn secrets() -> impl Strategy<Value = CredentialSecrets> {
    let previous = (record(), of(selector()), time()).prop_map(|(stored, selector, valid_until)| Previous {
        stored,
        selector,
        valid_until,
    });
    (record(), of(selector()), of(previous)).prop_map(|(current, selector, previous)| CredentialSecrets {
        current,
        selector,
        previous,
    })
}

prop_compose! {
    fn row()(
        client in id(), credential in id(), secrets in of(secrets()), revision in of(any::<[u8; 16]>()), end in of(time()),
        is_unused in any::<bool>(),
    ) -> Row {
        let key = CredentialKey::parse(&client, &credential).unwrap();
        // Of a row that cannot be read nothing else is kept.
        let (revision, is_unused) = (revision.filter(|_| secrets.is_some()), is_unused && secrets.is_some());
        Row::new(key, secrets, revision.map(Revision::from_bytes)).expiring(end).unused(is_unused)
    }
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(rows in vec(row(), 0..4), is_active in any::<bool>(), epoch in any::<i64>()) {
        let known = Known::new(is_active, rows).in_epoch(epoch);
        let packed = PackedRows::of(&known);
        prop_assert_eq!(packed.len(), known.len());
        let unpacked = packed.unpack().unwrap();
        prop_assert_eq!(unpacked.rows(), known.rows());
        prop_assert_eq!((unpacked.may_authenticate(), unpacked.epoch()), (is_active, epoch));
    }

    #[test]
    fn rows_of_one_client_name_it_once(rows in vec(row(), 1..4)) {
        let first = rows[0].key.client_id().clone();
        let own = |row: Row| Row { key: CredentialKey::new(first.clone(), row.key.credential_id().clone()), ..row };
        let known = Known::new(true, rows.into_iter().map(own).collect());
        prop_assert_eq!(PackedRows::of(&known).unpack().unwrap().rows(), known.rows());
    }

    #[test]
    fn bytes_that_are_none_of_its_own_do_not_panic(bytes in vec(any::<u8>(), 0..200)) {
        let packed = PackedRows(bytes.into());
        let _ = (packed.len(), packed.unpack().map(|known| known.rows()));
    }
}

const CLIENT: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
const CREDENTIAL: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

/// The digest of bcrypt's first test vectors.
const DIGEST: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

/// As the server has it: ids are UUIDs.
fn usual(backend: BackendId, payload: &str, selector: Option<&str>) -> Known {
    let key = CredentialKey::parse(CLIENT, CREDENTIAL).unwrap();
    let selector = selector.map(|text| Selector::parse(text).unwrap());
    let secrets = CredentialSecrets { current: StoredSecret::new(backend, payload), selector, previous: None };
    Known::new(true, vec![Row::new(key, Some(secrets), Some(Revision::from_bytes([7; 16])))])
}

#[test]
fn a_client_with_one_credential_is_small() {
    let keyed = format!("$hmac-sha256$v=1$keyid=2027-01${}${}", "0f".repeat(16), "1e".repeat(32));
    let path = format!("secret/data/agentidp/agents/{CLIENT}/credentials/{CREDENTIAL}?version=12");
    let selector = Some("2027-01:0123456789abcdef");
    for (backend, payload, selector, expected) in [
        (BackendId::BCRYPT, DIGEST, None, 107),
        (BackendId::BCRYPT, DIGEST, selector, 123),
        (BackendId::KEYED_DIGEST, &keyed, selector, 138),
        (BackendId::VAULT_KV2, &path, None, 103),
    ] {
        let known = usual(backend, payload, selector);
        let packed = PackedRows::of(&known);
        assert_eq!(packed.unpack().unwrap().rows(), known.rows());
        assert!(packed.0.len() <= expected, "{payload}: {} bytes", packed.0.len());
    }
}

#[test]
fn debug_shows_no_digest() {
    crate::testkit::assert_redacted(&PackedRows::of(&usual(BackendId::BCRYPT, DIGEST, None)), "CCCCCCCC");
}
