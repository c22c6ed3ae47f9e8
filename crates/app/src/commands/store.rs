//! `slipway store`: where everything is kept.

use anyhow::Result;
use serde_json::json;
use slipway_store::{Moved, move_store};

use crate::args::{Common, StoreCommand};
use crate::database;
use crate::exit;
use crate::folder::Folder;

/// Does what was asked.
pub(crate) async fn run(common: &Common, command: StoreCommand) -> Result<u8> {
    let StoreCommand::Move { to } = command;
    let to = database::address(&to)?;
    let folder = Folder::find(common.data.as_deref())?;
    let Moved { rows, head, hash, before } =
        move_store(folder.path(), &to).await.map_err(|error| database::named(error.into(), &to))?;
    if common.json {
        let rows: serde_json::Map<_, _> = rows.into_iter().map(|(table, rows)| (table, rows.into())).collect();
        outln!("{}", json!({ "to": to.to_string(), "rows": rows, "head": head, "hash": hash, "before": before }));
        return Ok(exit::OK);
    }
    match before {
        true => outln!("everything was there already; the data folder is marked now"),
        false => {
            let (tables, all) = (rows.len(), rows.iter().map(|(_, rows)| rows).sum::<u64>());
            outln!(
                "moved {all} rows of {tables} tables, each compared; the journal's chain is whole up to entry {head}"
            );
            outln!("  {hash}");
        }
    }
    outln!("start with: slipway up --database {to}");
    Ok(exit::OK)
}
