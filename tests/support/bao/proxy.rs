//! OpenBao's own Proxy, or its Agent, in front of a server: it logs in and adds its token to what passes through.

use std::path::PathBuf;

use reqwest::{Client, Method};

use super::auth::Role;
use super::{Bao, END};
use crate::support::find;
use crate::support::process::{Home, Service};

/// Ends with the test process, or when dropped.
pub(crate) struct Proxy {
    _service: Service,
    socket: PathBuf,
    port: u16,
}

impl Proxy {
    /// Runs `bao proxy` or `bao agent`, which logs in as `role`.
    pub(crate) async fn start(command: &'static str, bao: &Bao, role: &Role) -> Self {
        let home = Home::new();
        let program = home.within_reach(&find::bao());
        home.write_file("role-id", &role.role_id);
        home.write_file("secret-id", &role.secret_id);
        let socket = home.path().join("proxy.sock");
        let arguments = |home: &Home, port| {
            home.write_file("proxy.hcl", &configuration(bao.address(), role, port));
            [command, "-config=proxy.hcl"].map(str::to_owned).to_vec()
        };
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
        let answers = |port: u16| {
            // Refused until it has its token.
            let url = format!("http://127.0.0.1:{port}/v1/auth/token/lookup-self");
            let asked = client.request(Method::GET, url).header("X-Vault-Request", "true").send();
            async move { asked.await.is_ok_and(|answer| answer.status() == 200) }
        };
        let (service, port) = Service::start(home, END, program, arguments, answers).await;
        Self { _service: service, socket, port }
    }

    /// The address of its socket, and of its port.
    pub(crate) fn addresses(&self) -> [String; 2] {
        [format!("unix://{}", self.socket.display()), format!("http://127.0.0.1:{}", self.port)]
    }
}

fn configuration(server: &str, role: &Role, port: u16) -> String {
    let mount = &role.mount;
    format!(
        r#"vault {{ address = "{server}" }}
auto_auth {{
  method {{
    type = "approle"
    mount_path = "auth/{mount}"
    config = {{
      role_id_file_path = "role-id"
      secret_id_file_path = "secret-id"
      remove_secret_id_file_after_reading = false
    }}
  }}
}}
api_proxy {{ use_auto_auth_token = true }}
listener "unix" {{
  address = "proxy.sock"
  tls_disable = true
  require_request_header = true
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_disable = true
  require_request_header = true
}}
"#
    )
}
