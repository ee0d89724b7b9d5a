use proptest::prelude::*;
use regex::Regex;

use super::*;

fn id(text: &str) -> CredentialId {
    CredentialId::parse(text).unwrap()
}

/// One of each kind.
fn formats() -> Vec<SecretFormat> {
    let builder = SecretFormat::builder;
    vec![
        SecretFormat::documented(),
        builder("acme_live_").build().unwrap(),
        builder("acme-").alphabet(Alphabet::Hex).digits(32).checksum().build().unwrap(),
        builder("acme_").digits(22).checksum().build().unwrap(),
        builder("ak_").digits(22).checksum().naming_the_credential().build().unwrap(),
        builder("ak_").alphabet(Alphabet::Base64Url).digits(24).naming_the_credential().build().unwrap(),
        builder("").alphabet(Alphabet::Base64Url).digits(43).entropy(256).build().unwrap(),
    ]
}

#[test]
fn generated_secrets_have_their_form_and_name_their_credential() {
    for format in formats() {
        for credential in ["c-1", "under_score_", "https://idp.example/ü 7"].map(id) {
            let (one, other) = (format.generate(&credential).unwrap(), format.generate(&credential).unwrap());
            assert!(format.fits(&one) && !one.ct_eq(&other), "{format:?}");
            assert!((format.shortest()..=format.longest()).contains(&one.expose_secret().len()), "{format:?}");
            assert_eq!(format.credential_id(&one), format.names_credential.then_some(credential), "{format:?}");
        }
    }
}

/// A token of GitHub's that was published with an account of its form.
#[test]
fn a_checksum_is_what_github_computes() {
    let format = SecretFormat::builder("ghp_").digits(30).checksum().build().unwrap();
    assert!(format.fits(&ClientSecret::from("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")));
    assert!(!format.fits(&ClientSecret::from("ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq18")));
}

#[test]
fn one_changed_sign_is_another_form() {
    for format in formats().into_iter().filter(|format| format.has_checksum) {
        let secret = format.generate(&id("c-1")).unwrap();
        let text = secret.expose_secret();
        for place in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(!format.fits(&ClientSecret::from(changed.as_str())), "{place} of {format:?}");
        }
        for other in [&text[1..], &text[..text.len() - 1], &format!("{text}0"), &format!(" {text}"), ""] {
            assert!(!format.fits(&ClientSecret::from(other)), "{format:?}");
        }
    }
}

#[test]
fn every_digit_is_drawn_about_as_often() {
    for alphabet in [Alphabet::Hex, Alphabet::Base62, Alphabet::Base64Url] {
        let format = SecretFormat::builder("").alphabet(alphabet).digits(200).build().unwrap();
        let texts: Vec<_> = (0..200).map(|_| format.generate(&id("c")).unwrap()).collect();
        let expected = 200 * 200 / alphabet.digits().len();
        for &digit in alphabet.digits() {
            let drawn: usize =
                texts.iter().map(|text| text.expose_secret().bytes().filter(|&byte| byte == digit).count()).sum();
            // Six standard deviations and more.
            assert!(drawn.abs_diff(expected) < expected / 3, "{}: {drawn} of {expected}", char::from(digit));
        }
    }
}

#[test]
fn a_form_that_could_be_guessed_is_refused_by_the_method_to_change() {
    let builder = |prefix: &str| SecretFormat::builder(prefix);
    let refusal = |builder: SecretFormatBuilder| {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        error.to_string()
    };
    assert!(refusal(builder("a_").digits(21)).contains("`digits`"));
    assert!(refusal(builder("a_").alphabet(Alphabet::Hex).digits(31)).contains("`digits`"));
    assert!(refusal(builder("a_").entropy(122)).contains("`entropy`"));
    assert!(refusal(builder("a_").entropy(257)).contains("`entropy`"));
    assert!(refusal(builder("a_").digits(201)).contains("`digits`"));
    for prefix in ["a b", "a.", "_a", "-", "ä", "a(", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        assert!(refusal(builder(prefix)).contains("`SecretFormat::builder`"), "{prefix}");
    }
    assert_eq!(builder("a_").digits(22).build().unwrap().entropy(), 130);
    assert_eq!(builder("a_").entropy(128).build().unwrap().entropy(), 128);
}

/// Where a key may be found.
fn leaks(secret: &str) -> [String; 7] {
    [
        secret.to_owned(),
        format!("API_KEY={secret}\n"),
        format!("{{\"key\": \"{secret}\"}}"),
        format!("curl -H 'Authorization: Bearer {secret}' https://api.example"),
        format!("https://user:{secret}@api.example/"),
        format!("key: {secret}, other: 1"),
        format!("<key>{secret}</key>"),
    ]
}

#[test]
fn the_pattern_finds_1000_of_1000_and_nothing_malformed() {
    for format in formats() {
        let pattern = Regex::new(&format.pattern()).unwrap();
        for number in 0..1000 {
            let secret = format.generate(&id(&format!("https://a.example/{number}"))).unwrap();
            let text = secret.expose_secret();
            for leak in leaks(text) {
                let found: Vec<_> = pattern.find_iter(&leak).map(|found| found.as_str()).collect();
                assert_eq!(found, [text], "{} in {leak}", format.pattern());
            }
            if !format.prefix().is_empty() {
                assert!(!pattern.is_match(&text[..text.len() - 1]) && !pattern.is_match(&text[1..]), "{text}");
            }
        }
    }
}

/// Rules that scanners ship for the keys of other companies, in the form that crate `regex` takes.
const OF_OTHERS: [(&str, &str); 9] = [
    ("stripe", r#"\b((?:sk|rk)_(?:test|live|prod)_[a-zA-Z0-9]{10,99})(?:[\x60'"\s;]|\\[nr]|$)"#),
    ("github", r"gh[pousr]_[0-9a-zA-Z]{36}"),
    ("github, fine-grained", r"github_pat_\w{82}"),
    ("gitlab", r"glpat-[\w-]{20}"),
    ("npm", r#"(?i)\b(npm_[a-z0-9]{36})(?:[\x60'"\s;]|\\[nr]|$)"#),
    ("slack", r"xox[pe](?:-[0-9]{10,13}){3}-[a-zA-Z0-9-]{28,34}"),
    ("aws", r"\b((?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16})\b"),
    ("sendgrid", r#"(?i)\b(SG\.[a-z0-9=_\-\.]{66})(?:[\x60'"\s;]|\\[nr]|$)"#),
    ("openai", r"\b(sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{74}|sk-[a-zA-Z0-9]{20}T3BlbkFJ[a-zA-Z0-9]{20})"),
];

#[test]
fn no_rule_of_another_company_claims_keys_with_a_prefix_of_ones_own() {
    let rules = OF_OTHERS.map(|(name, rule)| (name, Regex::new(rule).unwrap()));
    for format in formats().into_iter().filter(|format| format.prefix().starts_with('a')) {
        for _ in 0..200 {
            let secret = format.generate(&id("c-1")).unwrap();
            for (name, rule) in &rules {
                assert!(leaks(secret.expose_secret()).iter().all(|leak| !rule.is_match(leak)), "{name}: {format:?}");
            }
        }
    }
    // Why a prefix of one's own is worth having.
    let documented = SecretFormat::documented().generate(&id("c-1")).unwrap();
    assert!(rules[0].1.is_match(documented.expose_secret()));
}

/// The rules that the guide gives are those of the form that it makes, and of the one that is used unless another is set.
#[test]
fn the_guide_has_the_patterns_of_both_its_forms() {
    let format = SecretFormat::builder("acme_").digits(32).checksum().build().unwrap();
    let guide = include_str!("../guide/keys.md");
    assert_eq!(guide.matches(&format.pattern()).count(), 2, "gitleaks and detect-secrets: {}", format.pattern());
    let rules: Vec<_> =
        guide.lines().filter_map(|line| line.strip_prefix("regex = '''")?.strip_suffix("'''")).collect();
    assert_eq!(rules, [format.pattern(), SecretFormat::documented().pattern()]);
}

#[test]
fn a_format_shows_no_secret() {
    let format = SecretFormat::builder("acme_").build().unwrap();
    let secret = format.generate(&id("c-1")).unwrap();
    assert!(!format!("{secret:?} {:?}", SecretFormats::new(format)).contains(&secret.expose_secret()[5..]));
}

proptest! {
    #[test]
    fn no_text_makes_a_form_panic(text in "(acme_|ak_|sk_live_)?([0-9a-zA-Z_~.-]|\\PC){0,90}") {
        for format in formats() {
            let _ = format.credential_id(&ClientSecret::from(text.as_str()));
        }
    }
}
