//! `slipway check` and `slipway schema`: no server is needed.

use std::io::Read;

use anyhow::Result;
use serde_json::json;
use slipway_core::spec;

use crate::args::{Common, File};
use crate::{exit, named};

/// Largest declared file in bytes.
const LIMIT: u64 = 1 << 20;

/// Checks a declared file.
pub(crate) fn run(common: &Common, file: &File) -> Result<u8> {
    let text = read(file)?;
    let name = file.file.display();
    match named::whole(&file.file, &text) {
        Ok((declared, _)) => {
            if common.json {
                outln!(
                    "{}",
                    json!({ "ok": true, "service": declared.spec.service, "mistakes": [], "warnings": declared.warnings })
                );
            } else {
                declared.warnings.iter().for_each(|w| outln!("{name}:{w} [warning]"));
                let count = declared.spec.environments.len();
                let noun = if count == 1 { "environment" } else { "environments" };
                outln!("{name} is fine: service {}, {count} {noun}", declared.spec.service);
            }
            Ok(exit::OK)
        }
        Err(mistakes) => {
            if common.json {
                outln!("{}", json!({ "ok": false, "service": null, "mistakes": mistakes, "warnings": [] }));
            } else {
                mistakes.iter().for_each(|m| outln!("{name}:{m}"));
                let noun = if mistakes.len() == 1 { "mistake" } else { "mistakes" };
                eprintln!("slipway: {} {noun} in {name}", mistakes.len());
            }
            Ok(exit::USAGE)
        }
    }
}

/// Reads a declared file that has no mistakes, and puts the files that it names into it.
pub(crate) fn sound(file: &File) -> Result<String> {
    let text = read(file)?;
    let name = file.file.display().to_string();
    match named::whole(&file.file, &text) {
        Ok((_, whole)) => Ok(whole),
        Err(mistakes) => {
            let lines: Vec<String> = mistakes.iter().map(|m| format!("{name}:{m}")).collect();
            Err(exit::Usage(format!("{name} has mistakes\n{}", lines.join("\n"))).into())
        }
    }
}

/// Reads a declared file as text.
pub(crate) fn read(file: &File) -> Result<String> {
    let name = file.file.display();
    let mut bytes = Vec::new();
    std::fs::File::open(&file.file)
        .and_then(|opened| opened.take(LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|e| exit::Usage(format!("{name} cannot be read: {e}; name the declared file with -f")))?;
    if bytes.len() as u64 > LIMIT {
        let most = format!("{name} has more than {LIMIT} bytes: no declared file is so large");
        return Err(exit::Usage(most).into());
    }
    Ok(String::from_utf8(bytes).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        exit::Usage(format!("{name}:{line}: this is not UTF-8 text"))
    })?)
}

/// Prints the JSON Schema.
pub(crate) fn schema() -> u8 {
    outln!("{}", spec::json_schema());
    exit::OK
}
