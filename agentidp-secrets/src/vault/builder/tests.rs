//! What a builder refuses, and in whose words.

use super::*;
use crate::error::ErrorKind;

fn refusal(builder: VaultKv2Builder) -> String {
    let error = builder.build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    error.to_string()
}

fn local() -> VaultKv2Builder {
    VaultKv2::builder("http://127.0.0.1:8200", "s.canary")
}

#[test]
fn addresses_that_cannot_work_are_refused_by_name() {
    for address in [
        "",
        "canary",
        "127.0.0.1:8200",
        "ftp://localhost",
        "unix://run/canary",
        "http://",
        "https://h//canary",
        "https://user:canary@h",
        "https://h?canary",
        "https://h#canary",
        "https://h,",
        "https://h,,https://i",
        "https://h,canary",
        "https://h;https://i",
    ] {
        assert!(refusal(VaultKv2::builder(address, "t")).contains("`VaultKv2::builder`"), "{address}");
    }
    for address in [
        "https://h",
        "https://h/prefix",
        "unix:///run/vault",
        "https://h:8200/",
        " http://localhost:8200\n",
        "http://[::1]:1",
        "http://127.9.9.9",
        "https://a:8200, https://b:8200,https://a:8200",
    ] {
        assert!(VaultKv2::builder(address, "t").build().is_ok(), "{address}");
    }
}

#[test]
fn plain_http_leaves_this_host_only_on_request() {
    let remote = VaultKv2::builder("http://vault:8200", "t");
    assert!(refusal(remote.clone()).contains("`VaultKv2Builder::danger_allow_plain_http`"));
    assert!(remote.danger_allow_plain_http(true).build().is_ok());
    assert!(
        refusal(VaultKv2::builder("https://a,http://vault:8200", "t"))
            .contains("`VaultKv2Builder::danger_allow_plain_http`")
    );
}

#[test]
fn other_settings_are_refused_by_name() {
    for mount in ["", "a//b", "..", "a/../b", "kv*", "a b", "a/data"] {
        assert!(refusal(local().mount(mount)).contains("`VaultKv2Builder::mount`"), "{mount}");
    }
    for template in ["", "{client}", "../{client}/{credential}", "{client}-{credential}", "a b/{client}/{credential}"] {
        assert!(refusal(local().layout(template)).contains("`VaultKv2Builder::layout`"), "{template}");
    }
    for prefix in ["apps", "", "/"] {
        assert!(local().prefix(prefix).layout("{client}/{credential}").build().is_ok(), "{prefix}");
    }
    for layout in [None, Some("agents/{client}/credentials/{credential}")] {
        let whole_mount = layout.map_or_else(local, |layout| local().layout(layout)).prefix("");
        assert!(refusal(whole_mount).contains("`VaultKv2Builder::layout`"), "the documented layout has a prefix");
    }
    for member in ["", "a\nb", &"x".repeat(129)] {
        assert!(refusal(local().member(member)).contains("`VaultKv2Builder::member`"), "{member}");
    }
    assert!(refusal(local().instance("EU")).contains("`VaultKv2Builder::instance`"));
    assert!(refusal(local().prefix("a/./b")).contains("prefix"));
    assert!(refusal(local().namespace("a\r\nb")).contains("`VaultKv2Builder::namespace`"));
    assert!(refusal(local().auth_namespace("a//b")).contains("`VaultKv2Builder::auth_namespace`"));
    assert!(refusal(local().ca_cert_pem("canary")).contains("`VaultKv2Builder::ca_cert_pem`"));
    let own = ClientCert::new("canary", "canary");
    assert!(refusal(local().client_cert(own)).contains("`VaultKv2Builder::client_cert`"));
    assert!(refusal(local().proxy("http://canary:canary@")).contains("proxy"));
    let named = VaultKv2::builder("https://h", "t").tls_server_name("canary.example");
    assert!(refusal(named.proxy("http://p")).contains("`VaultKv2Builder::tls_server_name`"));
    assert!(refusal(local().read_timeout(Duration::ZERO)).contains("timeout"));
    assert!(refusal(local().idle_timeout(Duration::ZERO)).contains("timeout"));
    assert!(refusal(local().max_connection_age(Duration::ZERO)).contains("timeout"));
    assert!(refusal(VaultKv2::builder("http://localhost", " ")).contains("`VaultAuth::Token`"));
    for namespace in ["", "/", "root", "team/", "/team/apps"] {
        assert!(local().mount("secret/").namespace(namespace).build().is_ok(), "{namespace}");
    }
}

#[test]
fn a_program_has_settings_called_by_its_own_names() {
    let named = |setting| if setting == Setting::Mount { "kv_mount in idp.toml" } else { "idp.toml" };
    assert!(refusal(local().mount("a//b").setting_names(named)).ends_with(": kv_mount in idp.toml"));
    let others = [local().layout("x"), local().member(""), local().instance("EU"), local().prefix("a b")];
    for builder in others {
        let text = refusal(builder.setting_names(named));
        assert!(text.contains("idp.toml") && !text.contains("Builder"), "{text}");
    }
}

#[test]
fn nothing_shows_the_token_or_a_password() {
    let builder =
        VaultKv2::builder("https://user:canary@h", "s.canary").proxy("http://u:canary@p").ca_cert_pem("canary");
    assert!(!format!("{:?} {builder:?} {builder:#?}", builder.config).contains("canary"));
    let vault = local().proxy("http://u:canary@p").build().unwrap();
    assert!(!format!("{vault:?} {vault:#?}").contains("canary"));
}
