//! A shell that commands are typed into, one after the other.
//!
//! Invariant: dropping it ends the development cluster, and every process that its commands have left behind.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use jedlik_net::authority::Authority;
use jedlik_protocol::ClusterId;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::node::LIMIT;
use crate::tools::{program, run, tool, xtask};

/// Mark between a command's output and its exit code.
const END: &str = "\n--- the command has ended with ";
/// Identity of every cluster of the sessions, which determines where keys lie.
const CLUSTER: ClusterId = ClusterId(0x2c60_9b1e_74d3_a58f);
/// Script that replaces `jedlik-admin`. Nodes get the same identities each time, which determine their order and their
/// shares, and a new authority gets the files in `$authority`.
const ADMIN: &str = r#"
case " $* " in *" ca init "*)
    "$admin" "$@" || exit
    for word; do
        if [ "$last" = --dir ]; then cp "$authority"/* "$word"; fi
        last=$word
    done
    exit
esac
case " $* " in *" cert issue "*" --role node "*)
    for word; do
        case "$last $word" in
            "--name n1") set -- "$@" --node 1d5a0c6e93b7f248 ;;
            "--name n2") set -- "$@" --node 5b08e7d142f6a93c ;;
            "--name n3") set -- "$@" --node 9c63f1a85e20b7d4 ;;
            "--name n4") set -- "$@" --node d7e42b9f06c8153a ;;
        esac
        last=$word
    done
esac
exec "$admin" "$@"
"#;

/// Shell in the folder `jedlik`, which looks like a clone with built programs.
pub(super) struct Shell {
    folder: tempfile::TempDir,
    bash: Child,
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
}

impl Shell {
    /// Starts the shell, with no command typed yet.
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (root, shims) = (folder.path().join("jedlik"), folder.path().join("shims"));
        install(&root, &shims);
        let path = std::env::var("PATH").unwrap();
        let mut bash = program(Path::new("bash"))
            .args(["--noprofile", "--norc"])
            .current_dir(&root)
            .env("PATH", format!("{}:{path}", shims.display()))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = bash.stdin.take().unwrap();
        input.write_all(b"exec 2>&1\n").unwrap();
        let mut printed = bash.stdout.take().unwrap();
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = printed.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { folder, bash, input, output }
    }

    /// Returns the folder in which commands are typed at first.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("jedlik")
    }

    /// Runs a command to its end, and returns its output, as a terminal shows it, and its exit code.
    pub(super) fn run(&mut self, command: &str) -> (String, i32) {
        let start = Instant::now();
        let typed = format!(
            "{{ {command}\n}} </dev/null; code=$?; printf '{}%d\\n' $code; (exit $code)\n",
            END.replace('\n', "\\n")
        );
        self.input.write_all(typed.as_bytes()).unwrap();
        let mut printed = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&printed);
            if let Some((text, code)) = text.split_once(END)
                && let Some(code) = code.strip_suffix('\n')
            {
                return (ended(text), code.parse().unwrap());
            }
            let left = LIMIT.saturating_sub(start.elapsed());
            match self.output.recv_timeout(left) {
                Ok(more) => printed.extend(more),
                Err(_) => panic!("`{command}` has not ended within {LIMIT:?}; it printed:\n{text}"),
            }
        }
    }

    /// Starts a command that goes on, and returns the path of the file with its output.
    pub(super) fn start_process(&mut self, command: &str, number: usize) -> PathBuf {
        let file = self.folder.path().join(format!("printed-{number}"));
        let typed = format!("{{ {command}\n}} </dev/null >'{}' 2>&1 &", file.display());
        fs::write(&file, "").unwrap();
        assert_eq!(self.run(&typed).1, 0);
        file
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let dir = self.root().join(".jedlik");
        if dir.exists() {
            let down = run(xtask().args(["cluster", "--dir"]).arg(&dir).args(["down", "--wipe"]));
            if down.code != 0 {
                eprintln!("the session's cluster is not down: {down:?}");
            }
        }
        // A process group that has ended already is fine.
        let _ = kill_process_group(Pid::from_child(&self.bash), Signal::KILL);
        let _ = self.bash.wait();
    }
}

/// Returns the text with a newline at its end, as a terminal's user sees it.
fn ended(text: &str) -> String {
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{newline}")
}

/// Links the programs to where a clone has them once they are built, and puts a `cargo` that builds nothing into
/// `shims`.
fn install(root: &Path, shims: &Path) {
    let release = root.join("target/release");
    fs::create_dir_all(&release).unwrap();
    fs::create_dir_all(shims).unwrap();
    let at = |command: Command| command.get_program().to_string_lossy().into_owned();
    for name in ["jedlik", "jedlik-node"] {
        script(&release.join(name), &format!("#!/bin/sh\nexec '{}' \"$@\"\n", at(tool(name))));
    }
    let authority = shims.join("authority");
    Authority::create(CLUSTER).unwrap().save(&authority).unwrap();
    let (admin, authority) = (at(tool("jedlik-admin")), authority.display());
    let admin = format!("#!/bin/sh\nadmin='{admin}'\nauthority='{authority}'{ADMIN}");
    script(&release.join("jedlik-admin"), &admin);
    let cargo = format!(
        "#!/bin/sh\ncase \"$*\" in\n\
         'build --release') exit ;;\n\
         'xtask cluster up'*) shift 3; set -- up --binaries '{release}' \"$@\" ;;\n\
         'xtask cluster '*) shift 2 ;;\n\
         *) echo \"cargo $*: sessions don't run this\"; exit 2 ;;\n\
         esac\n\
         PATH='{path}' '{xtask}' cluster --dir '{root}/.jedlik' \"$@\" >\"$0.printed\"; code=$?\n\
         # What is said of the folder is not for readers, who give none.\n\
         sed '/export JEDLIK_PROFILE=/d; s| --dir {root}/.jedlik||' \"$0.printed\"; exit $code\n",
        release = release.display(),
        path = std::env::var("PATH").unwrap(),
        xtask = at(xtask()),
        root = root.display(),
    );
    script(&shims.join("cargo"), &cargo);
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
