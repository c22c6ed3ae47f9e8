//! Reads a file of environment variables that is named by a declared file. What is wrong with it is said without a value.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use slipway_core::spec::parse_env_file;

/// How large it may be in bytes.
const LIMIT: u64 = 256 << 10;

/// The variables of the file at `path`, where one is named.
pub(crate) fn read(path: Option<&str>) -> Result<BTreeMap<String, String>, String> {
    let Some(path) = path else { return Ok(BTreeMap::new()) };
    let said = |why: String| format!("config.env_file {path}: {why}");
    let file = File::open(Path::new(path)).map_err(|e| said(e.to_string()))?;
    if !file.metadata().map_err(|e| said(e.to_string()))?.is_file() {
        return Err(said("is no file".to_string()));
    }
    let mut text = String::new();
    file.take(LIMIT + 1).read_to_string(&mut text).map_err(|e| said(e.to_string()))?;
    if text.len() as u64 > LIMIT {
        return Err(said(format!("is larger than {LIMIT} bytes")));
    }
    parse_env_file(&text).map_err(said)
}
