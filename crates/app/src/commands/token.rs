//! `slipway token`.

use anyhow::Result;
use serde_json::json;
use slipway_server::wire::{MadeToken, WireToken};

use crate::args::{Common, TokenCommand};
use crate::client::Client;
use crate::exit;
use crate::place::at;
use crate::render;

/// Makes, lists or revokes tokens.
pub(crate) async fn run(common: &Common, command: TokenCommand) -> Result<u8> {
    let client = Client::find(common)?;
    match command {
        TokenCommand::Create { name, may } => {
            let made: MadeToken = client.post(&at(&["tokens"]), &json!({ "name": name, "may": may })).await?;
            match common.json {
                true => outln!("{}", serde_json::to_string(&made)?),
                // The text alone, so that it can be put into a variable or a file.
                false => outln!("{}", made.token),
            }
        }
        TokenCommand::List => {
            let tokens: Vec<WireToken> = client.get(&at(&["tokens"])).await?;
            match common.json {
                true => outln!("{}", serde_json::to_string(&tokens)?),
                false => out!("{}", render::tokens(&tokens)),
            }
        }
        TokenCommand::Revoke { name } => {
            let token: WireToken = client.delete(&at(&["tokens", &name])).await?;
            match common.json {
                true => outln!("{}", serde_json::to_string(&token)?),
                false => outln!("the token of {name} is revoked"),
            }
        }
    }
    Ok(exit::OK)
}
