use proptest::prelude::*;

use super::*;
use crate::testkit::{assert_error_redacted, assert_redacted};

const KEY: &str = "8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92";

#[test]
fn keys_that_are_none_are_refused_and_not_repeated() {
    let nine: String = (0..9).map(|n| format!("k{n}:{KEY} ")).collect();
    for refused in [
        "",
        " , ",
        KEY,
        &format!(":{KEY}"),
        &format!("{KEY}:k1"),
        &format!("K1:{KEY}"),
        &format!("k1:{}", &KEY[..62]),
        &format!("k1:{KEY}00"),
        &format!("k1: {KEY}"),
        &format!("k1:{KEY} k1:{KEY}"),
        &format!("k1:{}", "00".repeat(32)),
        &nine,
    ] {
        let error = MacKeys::parse(refused).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{refused:?}");
        assert_error_redacted(&error, KEY);
    }
    let id = KeyId::parse("k1").unwrap();
    for length in [0, 16, 31, 33, 64] {
        let key: Vec<u8> = (0..length).collect();
        assert_eq!(MacKeys::new([(id, key)]).unwrap_err().kind(), ErrorKind::InvalidConfig, "{length} bytes");
    }
}

#[test]
fn debug_shows_ids_and_no_key() {
    let keys = MacKeys::parse(&format!("today:{KEY},\n before:{}\n", KEY.replace('8', "9"))).unwrap();
    assert_eq!(format!("{keys:?}"), "MacKeys[KeyId(today), KeyId(before)]");
    assert_redacted(&keys, KEY);
}

#[test]
fn purposes_keys_and_parts_are_told_apart() {
    let keys = MacKeys::parse(&format!("a:{KEY} b:{}", KEY.replace('8', "9"))).unwrap();
    let mac = |id: &str, purpose, parts: &[&[u8]]| keys.find(&KeyId::parse(id).unwrap()).unwrap().1.mac(purpose, parts);
    let reference = mac("a", Purpose::Selector, &[b"one", b"two"]);
    assert_eq!(reference, mac("a", Purpose::Selector, &[b"one", b"two"]));
    assert_ne!(reference, mac("a", Purpose::Digest, &[b"one", b"two"]));
    assert_ne!(reference, mac("b", Purpose::Selector, &[b"one", b"two"]));
    assert_ne!(reference, mac("a", Purpose::Selector, &[b"onet", b"wo"]));
    assert_ne!(reference, mac("a", Purpose::Selector, &[b"onetwo"]));
}

proptest! {
    #[test]
    fn an_id_round_trips(text in "[a-z0-9-]{1,16}") {
        let id = KeyId::parse(&text).unwrap();
        prop_assert_eq!(id.as_str(), &text);
        prop_assert_eq!(id.to_string().parse::<KeyId>().unwrap(), id);
    }

    #[test]
    fn parsing_never_panics(text in "\\PC{0,100}", lines in "([a-z0-9-]{0,18}:[0-9a-f]{60,66}[ ,\n]?){0,10}") {
        let _ = (KeyId::parse(&text), MacKeys::parse(&text), MacKeys::parse(&lines));
    }
}
