//! The declared file as its users meet it: the example of the design, every kind of mistake, the schema, the page.

mod agreement;
mod configuration;
mod environment_file;
mod example;
mod hooks;
mod mistakes;
mod page;
mod policies;
mod properties;
mod sockets;
mod validator;
mod workers;

use super::*;

const EXAMPLE: &str = include_str!("example.yaml");

/// The least that a file must declare, with `more` after it.
fn least(more: &str) -> String {
    format!(
        "service: checkout\n\
         run: {{ command: [\"./checkout\", \"{{port}}\"] }}\n\
         health: {{ http: /healthz }}\n\
         objectives: [{{ name: errors, bad: failed, at_most: 1% }}]\n\
         environments: {{ production: {{}} }}\n\
         {more}"
    )
}

fn spec(text: &str) -> ServiceSpec {
    match parse(text) {
        Ok(declared) => declared.spec,
        Err(mistakes) => panic!("{mistakes:#?}"),
    }
}
