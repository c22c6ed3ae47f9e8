//! Whether an instance is to listen on a port or on a socket.

use super::mistakes::said;
use super::*;

const COMMAND: &str = r#"["./checkout", "{port}"]"#;

fn with(command: &str) -> String {
    let text = least("");
    assert!(text.contains(COMMAND), "{text}");
    text.replace(COMMAND, command)
}

#[test]
fn an_instance_listens_in_one_place() {
    for text in [
        with(r#"["./checkout", "{port}", "{socket}"]"#),
        with(&format!("{COMMAND}, env: {{ LISTEN: \"unix:{{socket}}\" }}")),
        least("config: { values: { LISTEN: \"{socket}\" } }\n"),
        least("").replace("production: {}", "production: { env: { LISTEN: \"{socket}\" } }"),
    ] {
        let said = said(&text);
        assert!(
            said.contains("an instance listens on a port or on a socket, and both {port} and {socket} are used"),
            "{said}"
        );
        assert!(said.contains("(leave one of them out)"), "{said}");
    }
}

#[test]
fn one_on_a_socket_needs_no_port_and_has_none() {
    let without = r#"["./checkout"], env: { LISTEN: "unix:{socket}" }"#;
    for command in [r#"["./checkout", "{socket}"]"#, without] {
        let declared = parse(&with(command)).unwrap();
        assert_eq!(declared.warnings, [], "{command}");
        let smoke = "smoke: [{ name: it answers, command: [\"./smoke.sh\", \"{port}\"] }]\n";
        let text = format!("{}{smoke}", with(command));
        let warned: Vec<String> = parse(&text).unwrap().warnings.iter().map(Mistake::to_string).collect();
        assert_eq!(warned.len(), 1, "{warned:?}");
        assert!(
            warned[0].contains("a smoke test uses {port}, which an instance that listens on a socket does not have")
        );
    }
    assert!(
        said(&with(r#"["./checkout"], env: { SOCKET: x }"#)).contains("SOCKET is set by Slipway for each instance")
    );
}
