//! Running a service: its folder, its user, its ports, its supervisor.

use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// Pauses between two looks at a condition, and how many looks before a test fails: 30 seconds.
const PAUSE: Duration = Duration::from_millis(50);
const LOOKS: u32 = 600;

/// Waits, in real time also under a paused tokio clock, until `condition` holds.
pub(crate) async fn until<C: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> C) {
    for _ in 0..LOOKS {
        if condition().await {
            return;
        }
        pause().await;
    }
    panic!("waited {:?} for {what}", PAUSE * LOOKS);
}

/// A paused tokio clock does not run ahead while a blocking task is under way.
pub(crate) async fn pause() {
    #[expect(clippy::disallowed_methods, reason = "another process is waited for: there is nothing to be woken by")]
    let nap = || std::thread::sleep(PAUSE);
    tokio::task::spawn_blocking(nap).await.expect("the pause");
}

/// A port that is free, as the one after it is (OpenBao takes both). Below 32768: Linux gives the ports from there on
/// to outgoing connections, which could take the port of a stopped server before it starts again.
pub(super) fn free_port() -> u16 {
    let random = || std::hash::RandomState::new().build_hasher().finish();
    let candidate = || 10_240 + (random() % 11_000) as u16 * 2;
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    std::iter::repeat_with(candidate).take(1_000).find(|port| free(*port) && free(port + 1)).expect("a free port")
}

/// The temporary folder of one service, owned by the user who runs it.
pub(crate) struct Home {
    folder: TempDir,
    user: Option<(u32, u32)>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("agentidp-").tempdir().expect("a temporary folder");
        let mine = std::fs::metadata(folder.path()).expect("our own folder").uid();
        let home = Self { folder, user: (mine == 0).then(unprivileged_user) };
        home.hand_over("");
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn create_folder(&self, name: &str) {
        std::fs::create_dir(self.path().join(name)).expect("our own folder");
        self.hand_over(name);
    }

    pub(crate) fn write_file(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("our own folder");
        self.hand_over(name);
    }

    /// The program at a place where the service's user can run it: a root-only checkout is out of reach for others.
    pub(crate) fn within_reach(&self, program: &Path) -> PathBuf {
        if self.user.is_none() {
            return program.to_owned();
        }
        let here = self.path().join(program.file_name().expect("a program has a name"));
        // A copy of 180 MB is made only where a link cannot be: on another file system.
        if std::fs::hard_link(program, &here).is_err() {
            std::fs::copy(program, &here).expect("a copy of the program");
        }
        here
    }

    /// Runs a command of preparation to its end.
    pub(crate) fn run(&self, program: &Path, args: &[&str]) {
        let output = self.command(program).args(args).output().expect("the command starts");
        assert!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    }

    fn hand_over(&self, name: &str) {
        if let Some((uid, gid)) = self.user {
            chown(self.path().join(name), Some(uid), Some(gid)).expect("chown as root");
        }
    }

    /// A clean environment: settings of the developer's own servers (`PG…`, `VAULT_…`, `BAO_…`) stay out.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("PATH", "/usr/local/bin:/usr/bin:/bin");
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// User and group of `postgres`, else of `nobody`: PostgreSQL refuses to run as root.
fn unprivileged_user() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let find = |name: &str| {
        let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
        Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody")).expect("a user `postgres` or `nobody` to run the services as")
}

/// A service under its supervisor, `supervise.sh`. Dropping it ends the service and removes its folder.
pub(crate) struct Service {
    supervisor: Child,
    home: Home,
    program: PathBuf,
    end: &'static str,
}

impl Service {
    /// Starts a service on a free port and waits until it answers. `end` is the signal that ends it when nobody needs
    /// its data any more.
    pub(crate) async fn start<C: Future<Output = bool> + Send>(
        home: Home,
        end: &'static str,
        program: PathBuf,
        arguments: impl Fn(&Home, u16) -> Vec<String> + Send,
        answers: impl Fn(u16) -> C + Send + Sync,
    ) -> (Self, u16) {
        let mut port = free_port();
        let supervisor = supervise(&home, end, &program, &arguments(&home, port));
        let mut service = Self { supervisor, home, program, end };
        // Somebody else may be faster to the port: the service ends, and tries another one.
        for _ in 0..5 {
            if service.ready(|| answers(port)).await {
                return (service, port);
            }
            port = free_port();
            service.respawn(&arguments(&service.home, port));
        }
        panic!("{} does not start: {}", service.program.display(), service.log());
    }

    /// Starts it again after `end_by`, in the same folder, and waits until it answers.
    pub(crate) async fn start_again<C>(&mut self, arguments: &[String], answers: impl Fn() -> C + Send + Sync)
    where
        C: Future<Output = bool> + Send,
    {
        // Children of a crashed PostgreSQL may still be on their way out, which makes the first tries end.
        for _ in 0..20 {
            self.respawn(arguments);
            if self.ready(&answers).await {
                return;
            }
        }
        panic!("{} does not start again: {}", self.program.display(), self.log());
    }

    /// Sends `signal` and waits until the service has ended. Its folder stays.
    pub(crate) async fn end_by(&self, signal: &str) {
        self.signal(signal);
        until("the service to end", async || self.has_ended()).await;
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.pid();
        let sent = Command::new("/bin/sh").args(["-c", "kill -s $0 $1", signal, &pid]).status().expect("/bin/sh");
        assert!(sent.success(), "kill -s {signal} {pid}");
    }

    /// Whether the signal STOP has reached every thread: on a busy machine one may still answer a while after it.
    pub(crate) fn stands_still(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("a running service, on Linux");
        // The state follows the name, which is in parentheses. A thread that is gone by now answers nothing either.
        threads.flatten().all(|thread| {
            std::fs::read_to_string(thread.path().join("stat"))
                .map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
        })
    }

    /// `false`: it has ended.
    async fn ready<C: Future<Output = bool> + Send>(&self, answers: impl Fn() -> C + Send + Sync) -> bool {
        for _ in 0..LOOKS {
            if self.has_ended() {
                return false;
            }
            if answers().await && !self.has_ended() {
                return true;
            }
            pause().await;
        }
        panic!("{} does not answer: {}", self.program.display(), self.log());
    }

    /// The former supervisor would remove the folder when it is let go, so it is ended without a word.
    fn respawn(&mut self, arguments: &[String]) {
        self.supervisor.kill().expect("our own child");
        self.supervisor.wait().expect("our own child");
        self.supervisor = supervise(&self.home, self.end, &self.program, arguments);
    }

    fn pid(&self) -> String {
        let pid = std::fs::read_to_string(self.home.path().join("service.pid")).expect("the service was started");
        pid.trim().to_owned()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.home.path().join("service.exited").exists()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("service.log")).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _already_gone = self.supervisor.wait();
    }
}

fn supervise(home: &Home, end: &str, program: &Path, arguments: &[String]) -> Child {
    for stale in ["service.pid", "service.exited"] {
        let _absent_at_first = std::fs::remove_file(home.path().join(stale));
    }
    home.write_file("supervise.sh", include_str!("supervise.sh"));
    home.command(Path::new("/bin/sh"))
        .args(["supervise.sh", end])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0) // Ctrl-C is for the test process; the supervisor hears of it through the pipe
        .spawn()
        .expect("/bin/sh")
}
