//! What the tests run: the shim, as `helper shim DIR`, and instances, as `helper serve PORT|SOCKET [TRAIT…]`.
//!
//! Traits: `ignore-term`, `fork` (leaves children in and outside of its group), `talk` (writes all the time).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["shim", dir] => slipway_target::shim::main(Path::new(dir)),
        ["serve", port, traits @ ..] => serve(port, traits),
        ["wait"] => loop {
            thread::park();
        },
        ["new-session", program, arguments @ ..] => {
            let _ = rustix::process::setsid();
            eprintln!("{}", Command::new(program).args(arguments).exec());
            ExitCode::FAILURE
        }
        _ => ExitCode::from(2),
    }
}

fn serve(port: &str, traits: &[&str]) -> ExitCode {
    if traits.contains(&"ignore-term") {
        // A shell that ignores a signal passes that on to what it becomes.
        let me = std::env::current_exe().unwrap_or_default();
        let script = "trap '' TERM; exec \"$0\" serve \"$1\"";
        eprintln!("{}", Command::new("/bin/sh").args(["-c", script]).arg(me).arg(port).exec());
        return ExitCode::FAILURE;
    }
    if traits.contains(&"fork") {
        let me = std::env::current_exe().unwrap_or_default();
        let wait = |session: &[&str]| {
            let mut command = Command::new(&me);
            command.args(session).arg(&me).arg("wait").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let in_group = Command::new(&me).arg("wait").spawn().map(|c| c.id()).unwrap_or_default();
        let outside = wait(&["new-session"]).spawn().map(|c| c.id()).unwrap_or_default();
        let _ = std::fs::write("children", format!("{in_group} {outside}"));
    }
    if traits.contains(&"talk") {
        thread::spawn(|| {
            let line = [b'.'; 1023];
            loop {
                println!("{}", String::from_utf8_lossy(&line));
                let _ = std::fs::write("talks", b"");
                thread::sleep(Duration::from_millis(1));
            }
        });
    }
    if port.starts_with('/') {
        let Ok(listener) = UnixListener::bind(port) else { return ExitCode::from(98) };
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream.try_clone().ok()?, stream));
        }
    }
    let Ok(listener) = TcpListener::bind(format!("127.0.0.1:{port}")) else { return ExitCode::from(98) };
    println!("serving on {}", listener.local_addr().map_or(0, |address| address.port()));
    for stream in listener.incoming().flatten() {
        thread::spawn(move || answer(stream.try_clone().ok()?, stream));
    }
    ExitCode::SUCCESS
}

fn answer(reader: impl Read, mut stream: impl Write) -> Option<()> {
    let mut reader = BufReader::new(reader);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? <= 2 {
            break;
        }
        head.push(line.trim_end().to_string());
    }
    let header = |name: &str| {
        head.iter().find_map(|l| l.to_ascii_lowercase().strip_prefix(&format!("{name}: ")).map(str::to_string))
    };
    let mut body = vec![0; header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let target = head.first()?.rsplit_once(' ')?.0.to_string();
    let body = String::from_utf8_lossy(&body).into_owned();
    let (status, text) = match target.as_str() {
        "GET /healthz" if Path::new("sick").exists() => (503, "sick".to_string()),
        "GET /healthz" => (200, "well".to_string()),
        "GET /pid" => (200, std::process::id().to_string()),
        "GET /env" => (200, std::env::vars().map(|(k, v)| format!("{k}={v}\n")).collect()),
        "POST /login" if body.contains("\"smoke\"") => (200, r#"{"ok":true,"auth":{"token":"t-17"}}"#.to_string()),
        "POST /login" => (403, r#"{"ok":false}"#.to_string()),
        "GET /me" if header("authorization").as_deref() == Some("bearer t-17") => {
            (200, r#"{"name":"smoke"}"#.to_string())
        }
        "GET /me" => (401, "who?".to_string()),
        "GET /big" => (200, "x".repeat(3 << 20)),
        "GET /hang" => loop {
            thread::park();
        },
        _ => (404, "nothing here".to_string()),
    };
    let length = text.len();
    write!(stream, "HTTP/1.1 {status} X\r\nx-test: yes\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}")
        .ok()
}
