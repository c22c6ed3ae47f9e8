//! A PostgreSQL server of a test's own, in a folder of its own on a free port. It ends with whoever started it, even by
//! SIGKILL, and takes its folder along. Orders text as English does, so that nothing can rest on the order of bytes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt};

/// Nobody: the server refuses to run as root.
const NOBODY: u32 = 65_534;
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the server when whoever started this is gone, or asks for it: both close standard input. Its folder goes too,
/// unless it is to be started again.
const GUARD: &str = r#"folder=$1; shift; "$@" & server=$!; cat > /dev/null; kill -QUIT $server; wait $server
[ -e "$folder/keep" ] || rm -rf "$folder""#;

/// A server that runs.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    /// Nobody else gets the port, also while the server does not run.
    _held: OwnedFd,
    folder: PathBuf,
    guard: Option<Child>,
}

impl Postgres {
    /// Starts one and waits until it answers.
    pub fn start() -> io::Result<Postgres> {
        let folder = tempfile::Builder::new().prefix("slipway-postgres-").tempdir()?.keep();
        if rustix::process::geteuid().is_root() {
            chown(&folder, Some(NOBODY), Some(NOBODY))?;
        }
        let made = server_command(&programs()?.join("initdb"))
            .args(["--username=slipway", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"])
            .args(["--locale-provider=icu", "--icu-locale=en-US", "-D"])
            .arg(folder.join("data"))
            .output()?;
        check("initdb", made)?;
        let (port, held) = port()?;
        let mut postgres = Postgres { port, _held: held, folder, guard: None };
        postgres.run()?;
        Ok(postgres)
    }

    /// Ends the server at once, as a failure of its machine would; what it promised to keep is kept.
    pub fn stop(&mut self) -> io::Result<()> {
        std::fs::write(self.folder.join("keep"), "")?;
        let Some(mut guard) = self.guard.take() else { return Ok(()) };
        drop(guard.stdin.take());
        guard.wait().map(|_| ())
    }

    /// Starts it again where it was.
    pub fn start_again(&mut self) -> io::Result<()> {
        std::fs::remove_file(self.folder.join("keep"))?;
        self.run()
    }

    fn run(&mut self) -> io::Result<()> {
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "guard"]).arg(&self.folder);
        let server = server_command(&programs()?.join("postgres"));
        command.arg(server.get_program()).args(server.get_args());
        command
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c"])
            .arg(format!("unix_socket_directories={}", self.folder.display()))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.guard = Some(command.spawn()?);
        let begun = Instant::now();
        loop {
            match self.query("SELECT 1") {
                Ok(_) => return Ok(()),
                Err(error) if begun.elapsed() > PATIENCE => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Where it is, as clients write it.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Where one of its databases is.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://slipway@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a database and says where it is.
    pub fn database(&self, name: &str) -> io::Result<String> {
        self.query(&format!("CREATE DATABASE {name}"))?;
        Ok(self.url_of(name))
    }

    /// Runs statements through `psql`; returns the rows of the last one, columns parted by `|`.
    pub fn query(&self, sql: &str) -> io::Result<Vec<String>> {
        self.query_in("postgres", sql)
    }

    /// The same in one of its databases.
    pub fn query_in(&self, database: &str, sql: &str) -> io::Result<Vec<String>> {
        let output = Command::new("psql")
            .args([&self.url_of(database), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .output()?;
        Ok(check(sql, output)?.lines().map(str::to_string).collect())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        match self.guard.take() {
            Some(mut guard) => {
                drop(guard.stdin.take());
                let _ = guard.wait();
            }
            None => {
                let _ = std::fs::remove_dir_all(&self.folder);
            }
        }
    }
}

/// A port, and what keeps it from everybody who asks for any. Whoever is told of it can listen there, as servers do that let an
/// address be used again.
fn port() -> io::Result<(u16, OwnedFd)> {
    let held = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&held, true)?;
    bind(&held, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    let address: SocketAddr = getsockname(&held)?.try_into()?;
    Ok((address.port(), held))
}

fn check(what: &str, output: Output) -> io::Result<String> {
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(io::Error::other(format!("{what}: {}", String::from_utf8_lossy(&output.stderr)))),
    }
}

/// A program of the server, as nobody where this is root.
fn server_command(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program).current_dir("/");
    command
}

/// Where Debian keeps the server's programs: the newest version there is.
fn programs() -> io::Result<PathBuf> {
    let missing = || io::Error::other("PostgreSQL is not installed: scripts/setup --tools");
    let folders = std::fs::read_dir("/usr/lib/postgresql").map_err(|_| missing())?;
    let mut found: Vec<(u32, PathBuf)> = folders
        .filter_map(|folder| Some((folder.as_ref().ok()?.file_name().to_str()?.parse().ok()?, folder.ok()?.path())))
        .filter(|(_, folder): &(u32, PathBuf)| folder.join("bin/postgres").is_file())
        .collect();
    found.sort();
    found.pop().map(|(_, folder)| folder.join("bin")).ok_or_else(missing)
}
