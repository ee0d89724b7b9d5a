use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn emails() {
    let longest = format!("{}@{}.{}.{}.example", "a".repeat(64), "b".repeat(60), "c".repeat(60), "d".repeat(59));
    assert_eq!(longest.len(), 255 - 1);
    for fine in ["a@b.co", "first.last+tag@agents.example.com", "x@xn--bcher-kva.example", "A@B.Co", &longest] {
        assert_eq!(email(fine).as_deref(), Ok(fine));
    }
    let local_too_long = format!("{}@b.co", "a".repeat(65));
    let too_long = format!("{longest}.com");
    for refused in [
        "",
        " ",
        "a",
        "@",
        "a@",
        "@b.co",
        "a@b",
        "a@b..co",
        "a@.co",
        "a@b.co.",
        "a@-b.co",
        "a@b-.co",
        "a b@c.co",
        ".a@b.co",
        "a.@b.co",
        "a..b@c.co",
        "a@b@c.co",
        "a@b.co\n",
        "a\0@b.co",
        "<a@b.co>",
        "ä@b.co",
        "a@bü.co",
        " a@b.co",
        &local_too_long,
        &too_long,
    ] {
        assert!(email(refused).is_err(), "{refused:?}");
    }
}

#[test]
fn versions() {
    for fine in ["1.0.0", "0.1.0-alpha.1+build.5"] {
        assert_eq!(version(fine).as_deref(), Ok(fine));
    }
    let too_long = format!("1.0.0-{}", "a".repeat(64));
    for refused in ["", "1", "1.0", "v1.0.0", "1.0.0 ", "01.0.0", "1.0.0\0", &too_long] {
        assert!(version(refused).is_err(), "{refused:?}");
    }
}

#[test]
fn owners_are_counted_in_characters() {
    let longest = "ä".repeat(128);
    assert_eq!(owner(&longest).as_deref(), Ok(longest.as_str()));
    for refused in ["", "  ", "a\0b", "a\nb", "a\u{7f}", "a\u{85}", &"a".repeat(129)] {
        assert!(owner(refused).is_err(), "{refused:?}");
    }
}

#[test]
fn capability_lists() {
    let most: Vec<_> = (0..100).map(|n| format!("resource-{n}:read")).collect();
    for fine in [json!(["resume:read"]), json!(["a.b_c-D:*", "a:b"]), json!(most)] {
        assert!(capabilities(&fine).is_ok(), "{fine}");
    }
    let too_many: Vec<_> = (0..101).map(|n| format!("resource-{n}:read")).collect();
    for refused in [
        json!([]),
        json!("resume:read"),
        json!(null),
        json!({"resume": "read"}),
        json!([1]),
        json!([null]),
        json!([["resume:read"]]),
        json!([""]),
        json!(["resume"]),
        json!([":read"]),
        json!(["resume:"]),
        json!(["*:read"]),
        json!(["*:*"]),
        json!(["resume:re*"]),
        json!(["resume:read:all"]),
        json!(["resume:read "]),
        json!(["resume:re\0d"]),
        json!(["résumé:read"]),
        json!(["a:b", "c:d", "a:b"]),
        json!([format!("{}:b", "a".repeat(127))]),
        json!(too_many),
    ] {
        assert!(capabilities(&refused).is_err(), "{refused}");
    }
}

#[test]
fn uuids_have_one_form() {
    assert!(uuid("6f9619ff-8b86-4d01-b42d-00cf4fc964ff").is_ok());
    for refused in [
        "",
        "1",
        "6f9619ff8b864d01b42d00cf4fc964ff",
        "{6f9619ff-8b86-4d01-b42d-00cf4fc964ff}",
        "urn:uuid:6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
        "6f9619ff-8b86-4d01-b42d-00cf4fc964fg",
        "../6f9619ff-8b86-4d01-b42d-00cf4fc96",
    ] {
        assert!(uuid(refused).is_err(), "{refused:?}");
    }
}

#[test]
fn times_have_a_date_a_time_of_day_and_a_zone() {
    assert_eq!(time("2026-03-28T10:30:00+01:00"), time("2026-03-28T09:30:00.000Z"));
    for refused in [
        "2030-01-01",
        "2030-01-01T00:00:00",
        "2030-02-30T00:00:00Z",
        "1900000000",
        "",
        "2030-01-01T00:00:00Z\0",
        // Beyond the calendar once it is turned to UTC.
        "9999-12-31T23:59:59-23:59",
    ] {
        assert!(time(refused).is_err(), "{refused:?}");
    }
}

#[test]
fn counts_are_digits_within_bounds() {
    assert_eq!(count(100)("1"), Ok(1));
    assert_eq!(count(100)("100"), Ok(100));
    for refused in ["", "0", "101", "-1", "+1", " 1", "1.0", "1e2", "٣", "99999999999999999999"] {
        assert!(count(100)(refused).is_err(), "{refused:?}");
    }
}

#[test]
fn a_plain_date_is_the_whole_day() {
    assert_eq!(from_date("2026-03-28").unwrap().to_string(), "2026-03-28T00:00:00.000Z");
    assert_eq!(to_date("2026-03-28").unwrap().to_string(), "2026-03-28T23:59:59.999Z");
    assert_eq!(to_date("2026-03-28T11:00:00+02:00").unwrap().to_string(), "2026-03-28T09:00:00.000Z");
    for refused in ["", "2026", "2026-3-28", "2026-02-30", "28.03.2026", "yesterday", "2026-03-28T11:00:00 02:00"] {
        assert!(from_date(refused).is_err() && to_date(refused).is_err(), "{refused:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_rule_panic(value in any::<String>()) {
        let _ = (email(&value), version(&value), owner(&value), capability(&value), uuid(&value));
        let _ = (time(&value), count(7)(&value), from_date(&value), to_date(&value));
    }

    #[test]
    fn no_time_makes_the_clock_rule_panic(value in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{1,12})?(Z|[+-][0-2][0-9]:[0-5][0-9])") {
        let _ = (from_date(&value), to_date(&value));
    }
}
