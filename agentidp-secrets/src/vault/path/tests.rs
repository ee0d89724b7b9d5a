use super::*;
use proptest::prelude::*;

const BARE: &str = "secret/data/agentidp/agents/a-7/credentials/c-1";

#[test]
fn both_forms_are_read_and_printed() {
    let bare = VaultPath::parse(BARE).unwrap();
    assert_eq!((bare.mount(), bare.prefix(), bare.version()), ("secret", "agentidp", None));
    assert_eq!(bare.key(), &CredentialKey::parse("a-7", "c-1").unwrap());
    assert_eq!(bare.to_string(), BARE);
    let pinned = VaultPath::parse(&format!("{BARE}?version=3")).unwrap();
    assert_eq!(pinned.version(), Some(3));
    assert_eq!(pinned.clone().unpinned(), bare);
    assert_eq!(bare.clone().with_version(3).unwrap(), pinned);
    let text = format!("{BARE}?version=3&created=2026-03-28T09:00:00.123456789Z");
    let written = VaultPath::parse(&text).unwrap();
    assert_eq!((written.version(), written.to_string()), (Some(3), text));
    assert_eq!((written.clone().with_version(3).unwrap(), written.clone().unpinned()), (pinned.clone(), bare));
    let write = |time: &str| Written::new(3, time);
    assert!(written.is_of_another(&write("2026-03-28T09:00:01Z")));
    assert!(!written.is_of_another(&write("2026-03-28T09:00:00.123456789Z")));
    assert!(!written.is_of_another(&3.into()) && !pinned.is_of_another(&write("2026-03-28T09:00:01Z")), "unknown");
}

#[test]
fn mount_and_prefix_may_have_several_segments() {
    for (mount, prefix) in [("team/kv", "a/b"), ("data", "data"), ("data/kv", "data/data"), ("kv", "agents/x")] {
        let path = VaultPath::for_key(mount, prefix, &CredentialKey::parse("a", "c").unwrap()).unwrap();
        let parsed = VaultPath::parse(&path.to_string()).unwrap();
        assert_eq!((parsed.mount(), parsed.prefix()), (mount, prefix));
    }
    assert!(VaultPath::for_key("team/data", "x", &CredentialKey::parse("a", "c").unwrap()).is_err(), "two readings");
}

#[test]
fn whatever_else_is_refused_without_being_repeated() {
    let tails = ["?version=0", "?version=-1", "?version=", "?version=+1", "?version=01", "?version=1&x=2", "?v=1", "?"];
    let times = ["", "a b", "?version=2", "%31", "2026-03-28T09:00:00.000000000000000000000Z"];
    let times = times.iter().map(|time| format!("{BARE}?version=1&created={time}"));
    let pinned = tails.iter().map(|tail| format!("{BARE}{tail}"));
    let paths = [
        "",
        "canary",
        "/secret/data/agentidp/agents/a/credentials/c",
        "secret//data/agentidp/agents/a/credentials/c",
        "secret/data/agents/a/credentials/c",
        "data/agentidp/agents/a/credentials/c",
        "secret/metadata/agentidp/agents/a/credentials/c",
        "secret/data/../agents/a/credentials/c",
        "secret/data/agentidp/agents/../credentials/c",
        "secret/data/agentidp/agents/a/credentials/",
        "secret/data/agentidp/agents/a/credentials/c/d",
        "secret/data/agentidp/agents/a%2fb/credentials/c",
        "secret/data/agentidp/agents/a~2Fb/credentials/c",
        "secret/data/agentidp/agents/a~61/credentials/c",
        "secret/data/agentidp/agents/a/credentials/~0a",
        "secret/data/agentidp/agents/ä/credentials/c",
        "secret/data/agent idp/agents/a/credentials/c",
        "secret/data/agentidp/agents/a/credentials/canary\n",
    ];
    for text in pinned.chain(times).chain(paths.map(str::to_owned)) {
        let error = VaultPath::parse(&text).expect_err(&text);
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(!format!("{error} {error:?}").contains("canary"), "{text}");
    }
    assert!(VaultPath::parse(BARE).unwrap().with_version(0).is_err());
}

#[test]
fn debug_hides_the_path() {
    let path = VaultPath::parse(&format!("{BARE}?version=3")).unwrap();
    assert_eq!(format!("{path:?}"), "VaultPath { version: Some(3), .. }");
}

fn stays_in_its_folder(path: &VaultPath) {
    let text = path.to_string();
    let (bare, _version) = text.split_once('?').unwrap_or((&text, ""));
    assert!(bare.starts_with(&format!("{}/data/{}/agents/", path.mount(), path.prefix())), "{text}");
    assert!(bare.split('/').all(|segment| !matches!(segment, "" | "." | "..")), "{text}");
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'%' | b'#' | b'\\')), "{text}");
    assert_eq!(&VaultPath::parse(&text).unwrap(), path);
}

proptest! {
    #[test]
    fn what_is_built_stays_in_its_folder(
        mount in "([a-c./]|data){1,12}", prefix in ".{0,4}|([a-c./]|agents|data){1,12}",
        client in "[a-c.]{1,4}|agents", credential in "[a-c.]{1,4}", version in 0_u64..,
    ) {
        if let Ok(path) = CredentialKey::parse(&client, &credential)
            .and_then(|key| VaultPath::for_key(&mount, &prefix, &key))
        {
            stays_in_its_folder(&path);
            path.with_version(version).iter().for_each(stays_in_its_folder);
        }
    }

    #[test]
    fn what_is_parsed_stays_in_its_folder(
        text in "([a-c./?=%]|\\PC|data|/data/|/agents/|/credentials/|\\?version=[0-9]{1,21}){0,14}",
    ) {
        VaultPath::parse(&text).iter().for_each(stays_in_its_folder);
    }
}
