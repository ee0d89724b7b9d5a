//! A server whose store is put together from settings, as the real one's is.

use std::sync::Arc;

use agentidp_server::app::VaultPlace;
use agentidp_server::config::{Config, Vault};
use agentidp_server::wiring;

use super::site::Site;
use super::support::bao::Mount;
use super::support::{self, Bao};

/// With Vault, and these settings.
pub(crate) async fn vault_site(settings: &[(&str, &str)]) -> Site {
    vault_site_on(support::bao(), settings).await
}

pub(crate) async fn vault_site_on(bao: &Bao, settings: &[(&str, &str)]) -> Site {
    let mut site = Site::bcrypt().await;
    restart_with_vault(&mut site, bao, &bao.fresh_mount(2).await, settings).await;
    site
}

/// What a restart with a Vault and other settings does.
pub(crate) async fn restart_with_vault(site: &mut Site, bao: &Bao, mount: &Mount, settings: &[(&str, &str)]) {
    let vault = [
        ("VAULT_ADDR", bao.address()),
        ("VAULT_TOKEN", mount.policy_token.as_str()),
        ("VAULT_KV_MOUNT", mount.name.as_str()),
    ];
    restart(site, &[settings, &vault].concat()).await;
}

/// A site whose store is put together as the server's.
pub(crate) async fn site(settings: &[(&str, &str)]) -> Site {
    let mut site = Site::bcrypt().await;
    restart(&mut site, settings).await;
    site
}

/// What a restart with other settings does.
pub(crate) async fn restart(site: &mut Site, settings: &[(&str, &str)]) {
    let value = |name: &str| settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let config = Config::from_lookup(value).unwrap();
    let (store, vault_token) = wiring::secret_store(&config, &site.app.clock, &site.app.metrics).await.unwrap();
    let place = |vault: Vault| VaultPlace { mount: vault.mount, prefix: vault.prefix };
    site.change(|app| {
        (app.vault, app.vault_token) = (config.vault.map(place), vault_token);
        (app.store, app.upgrades) = (store, config.upgrades.on_verify);
        app.settings.upgrade_rate = config.upgrades.rate;
        app.settings.upgrade_except = Arc::clone(&config.upgrades.except);
    });
}
