//! Runs the operator guide of the README, command by command, on a real PostgreSQL and a real OpenBao.

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::{self, Bao, find};

const README: &str = include_str!("../../../README.md");
const DONE: &str = "-- the commands have ended --";
const FAILED: &str = "-- a command failed: ";

#[tokio::test]
async fn the_operator_guide_holds_line_by_line() {
    let mut bao = Bao::start_own().await;
    let database = support::postgres().fresh_database().await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let here = |text: &str| {
        text.replace("postgres://agentidp@127.0.0.1:5432/agentidp", &database)
            .replace("127.0.0.1:3000", &format!("127.0.0.1:{port}"))
            .replace("http://127.0.0.1:8200", bao.address())
            .replace("VAULT_TOKEN=root ", &format!("VAULT_TOKEN={} ", bao.root_token()))
    };
    let steps: Vec<Step> = steps(README, here);
    assert!(steps.len() > 20, "the guide has lost its marks: {} steps", steps.len());

    let folder = tempfile::tempdir().unwrap();
    let mut shell = Shell::start(folder.path(), port);
    let mut printed = String::new();
    for step in &steps {
        match step {
            Step::Run(commands) => {
                printed = shell.run(commands).await;
                assert!(!printed.contains(FAILED), "{commands}\nprinted\n{printed}{}", log(folder.path()));
            }
            Step::Expect(lines) => {
                for line in lines.lines() {
                    assert!(printed.contains(line), "{line:?} is missing in\n{printed}{}", log(folder.path()));
                }
            }
            Step::StopVault => bao.stop().await,
            Step::StartVault => bao.start_again().await,
        }
    }
    shell.end().await;
}

/// What the guide has its reader do, or see.
enum Step {
    Run(String),
    Expect(String),
    StopVault,
    StartVault,
}

/// The `sh` and `text` blocks and the marks between `<!-- runbook: begin -->` and `<!-- runbook: end -->`.
fn steps(guide: &str, here: impl Fn(&str) -> String) -> Vec<Step> {
    let (_, rest) = guide.split_once("<!-- runbook: begin -->").expect("the guide begins somewhere");
    let (story, _) = rest.split_once("<!-- runbook: end -->").expect("the guide ends somewhere");
    let mut steps = Vec::new();
    let mut lines = story.lines();
    while let Some(line) = lines.next() {
        let mut block = || here(&lines.by_ref().take_while(|line| *line != "```").collect::<Vec<_>>().join("\n"));
        match line {
            "```sh" => steps.push(Step::Run(block())),
            "```text" => steps.push(Step::Expect(block())),
            "<!-- runbook: stop vault -->" => steps.push(Step::StopVault),
            "<!-- runbook: start vault -->" => steps.push(Step::StartVault),
            _ => {}
        }
    }
    steps
}

/// The operator's terminal: one shell for the whole story. It ends, and the server with it, when its input does.
struct Shell {
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    fn start(folder: &Path, port: u16) -> Self {
        let programs = folder.join("programs");
        std::fs::create_dir(&programs).unwrap();
        symlink(env!("CARGO_BIN_EXE_agentidp-server"), programs.join("agentidp-server")).unwrap();
        symlink(find::bao(), programs.join("bao")).unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut process = Command::new("bash")
            .current_dir(folder)
            .env_clear()
            .env("PATH", format!("{}:{}:{}", programs.display(), path.display(), find::postgres_folder().display()))
            .env("HOME", folder)
            .env("AGENTIDP_LEDGER_WATCH", "0s")
            .env("PORT", port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the guide is for bash");
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, input, output }
    }

    async fn run(&mut self, commands: &str) -> String {
        let first = format!("trap 'echo \"{FAILED}$BASH_COMMAND\"' ERR; trap 'kill $(jobs -p) 2> /dev/null' EXIT");
        let script = format!("{first}\n{{\n{commands}\n}} 2>&1\necho; echo '{DONE}'\n");
        self.input.write_all(script.as_bytes()).await.unwrap();
        let mut printed = String::new();
        while let Some(line) = self.output.next_line().await.unwrap() {
            if line == DONE {
                return printed;
            }
            printed.push_str(&line);
            printed.push('\n');
        }
        panic!("the shell has ended:\n{printed}");
    }

    async fn end(self) {
        let Self { mut process, input, .. } = self;
        drop(input);
        process.wait().await.unwrap();
    }
}

fn log(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
    format!("\nThe server's log:\n{log}")
}
