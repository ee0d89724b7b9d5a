//! Rows as other software has them, each with its secret: one list a recipe of the guide's page on digests of other software. Secrets and
//! digests are published examples.

/// Row and secret.
pub(crate) type Rows = Vec<(String, &'static str)>;

pub(crate) fn ory_hydra() -> Rows {
    rows(&[
        (
            "$pbkdf2-sha256$i=100000,l=32$1jP+5Zxpxgtee/iPxGgOz0RfE9/KJuDElP1ley4VxXc$QJxzfvdbHYBpydCbHoFg3GJEqMFULwskiuqiJctoYpI",
            "test",
        ),
        ("$2a$12$o6hx.Wog/wvFSkT/Bp/6DOxCtLRTDj7lm9on9suF/WaCGNVHbkfL6", "test"),
    ])
}

pub(crate) fn keycloak() -> Rows {
    let pbkdf2 = keycloak_row(
        r#"{"hashIterations":100000,"algorithm":"pbkdf2-sha512","additionalParameters":{}}"#,
        r#"{"value":"+wArTfv1a+bNGO1iZrmEdVjhA+lL11wF4/IxpgYfPwc=","salt":"bdHBpn7OWOivJMVJypy2UqR0UnaD5prQXRZevj/05YU=","additionalParameters":{}}"#,
    );
    let argon2 = keycloak_row(
        r#"{"hashIterations":2,"algorithm":"argon2","additionalParameters":{"hashLength":["16"],"memory":["32"],"type":["id"],"version":["1.3"],"parallelism":["4"]}}"#,
        r#"{"value":"MNzk5BtR2vUhrp6qQEjRNw==","salt":"cm94YnRVOW5jZzFzcVE4bQ==","additionalParameters":{}}"#,
    );
    vec![(pbkdf2, "test"), (argon2, "test")]
}

/// The columns `credential_data` and `secret_data` of the table `credential` as one text.
fn keycloak_row(credential_data: &str, secret_data: &str) -> String {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let (about, secret) = (json(credential_data), json(secret_data));
    let plain = |member: &str| secret[member].as_str().unwrap().trim_end_matches('=').to_owned();
    let (salt, value, rounds) = (plain("salt"), plain("value"), &about["hashIterations"]);
    let more = |name: &str| about["additionalParameters"][name][0].as_str().unwrap().to_owned();
    match about["algorithm"].as_str().unwrap() {
        "argon2" => format!(
            "$argon2{}$v={}$m={},t={rounds},p={}${salt}${value}",
            more("type"),
            if more("version") == "1.0" { 16 } else { 19 },
            more("memory"),
            more("parallelism")
        ),
        "pbkdf2" => format!("$pbkdf2-sha1${rounds}${salt}${value}"),
        algorithm => format!("${algorithm}${rounds}${salt}${value}"),
    }
}

pub(crate) fn django_oauth_toolkit() -> Rows {
    rows(&[
        ("pbkdf2_sha256$390000$seasalt$8xBlGd3jVgvJ+92hWPxi5ww0uuAuAnKgC45eudxro7c=", "l\u{e8}tmein"),
        ("argon2$argon2id$v=19$m=102400,t=2,p=8$Y041dExhNkljRUUy$TMa6A8fPJhCAUXRhJXCXdw", "secret"),
        ("bcrypt_sha256$$2b$10$FxDtpTNaL303lLcWtd6LFO2U6Gc63VJ07qycHcfqbQQ71GhO/qSzu", "hashcat"),
    ])
}

pub(crate) fn identity_server_and_openiddict() -> Rows {
    rows(&[
        ("K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=", "secret"),
        ("3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==", "abc"),
        ("AQAAAAEAACcQAAAAEAABAgMEBQYHCAkKCwwNDg+yWU7rLgUwPZb1Itsmra7cbxw2EFpwpVFIEtP+JIuUEw==", "my password"),
    ])
}

pub(crate) fn doorkeeper() -> Rows {
    rows(&[
        ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "abc"),
        ("$2a$12$EXRkfkdmXn2gzds2SSitu.MW9.gAVqa9eLS1//RYtYCmB1eLHg.9q", "abc"),
    ])
}

pub(crate) fn spring() -> Rows {
    rows(&[
        ("{bcrypt}$2a$10$dXJ3SW6G7P50lGmMkkmwe.20cQQubK3.HZWzG3YB1tlRy.fqvM/BG", "password"),
        ("{pbkdf2}5d923b44a6d129f3ddf3e3c8d29412723dcbde72445e8ef6bf3b508fbf17fa4ed4d6b99ca763d8dc", "password"),
        (
            "{scrypt}$e0801$8bWJaSu2IKSn9Z9kM+TPXfOc/9bdYSrN1oD9qfVThWEwdRTnO7re7Ei+fUZRJ68k9lTyuTeUp4of4g24hHnazw==$OAOec05+bXxvuu/1qZ6NUR+xQYvYv7BeL1QxwRpY5Pc=",
            "password",
        ),
        (
            "{argon2@SpringSecurity_v5_8}$argon2id$v=19$m=32,t=2,p=4$cm94YnRVOW5jZzFzcVE4bQ$MNzk5BtR2vUhrp6qQEjRNw",
            "test",
        ),
        ("{sha256}97cde38028ad898ebc02e690819fa220e88c62e0699403e94fff291cfffaf8410849f27605abcbc0", "password"),
    ])
}

fn rows(rows: &[(&str, &'static str)]) -> Rows {
    rows.iter().map(|(row, secret)| ((*row).to_owned(), *secret)).collect()
}
