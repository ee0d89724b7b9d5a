//! Each wrong setting: the exit code, and the one line that names the setting and the mend.

use std::fs;

use agentidp_server::keys::{KeyAlgorithm, SigningKey};

use crate::binary::Place;

/// How each is written in `messages.txt`, and what it stands for.
const WORDS: [(&str, &str); 3] = [
    (
        "{PEM}",
        "is not a PEM with an unencrypted private key of RSA, P-256 or Ed25519; make one with `openssl genpkey -algorithm RSA \
         -pkeyopt rsa_keygen_bits:2048`, `-algorithm EC -pkeyopt ec_paramgen_curve:P-256` or `-algorithm ed25519`",
    ),
    (
        "{ADDRESS}",
        "must be an address without /v1, such as https://vault.example:8200, https://gateway.example/vault or unix:///run/vault-agent.sock, or several separated by commas",
    ),
    ("{VAULT}", "VAULT_ADDR=http://127.0.0.1:1"),
];

#[tokio::test]
async fn each_wrong_setting_is_told_in_one_line_with_its_mend() {
    let place = Place::new();
    let key = SigningKey::generate_pem(KeyAlgorithm::EdDsa).unwrap();
    for (name, text) in [
        ("key.pem", key.as_str()),
        ("ca.pem", "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"),
        ("empty", ""),
        ("words", "canary canary"),
    ] {
        fs::write(place.path().join(name), text).unwrap();
    }
    fs::create_dir(place.path().join("folder")).unwrap();
    let text =
        WORDS.iter().fold(include_str!("messages.txt").to_owned(), |text, (word, meant)| text.replace(word, meant));
    let mut tried = 0;
    for row in text.trim_end().split("\n\n").skip(1) {
        let (settings, expected) = row.split_once('\n').unwrap();
        let (code, line) = expected.split_once(' ').unwrap();
        let pairs: Vec<_> = settings.split(' ').map(|pair| pair.split_once('=').unwrap()).collect();
        let output = place.run(&[], &[&[("PORT", "0"), ("LOG_LEVEL", "off")], &pairs[..]].concat()).await;
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(told, format!("agentidp-server: {line}\n"), "{settings}");
        assert_eq!((output.status.code(), output.stdout.is_empty()), (code.parse().ok(), true), "{settings}");
        assert!(!told.contains("canary"), "{told}");
        tried += 1;
    }
    assert!(tried > 60, "{tried} settings");
}
