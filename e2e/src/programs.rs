//! Where the programs under test are.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// Names a folder with the programs, in place of the one that this program was built into.
pub const FOLDER_VARIABLE: &str = "SLIPWAY_BIN_DIR";

/// The path of `slipway`, `shop` or `load`: from `SLIPWAY_BIN_DIR`, or else from where cargo put this program.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let folder = match std::env::var_os(FOLDER_VARIABLE) {
        Some(folder) => PathBuf::from(folder),
        None => {
            let this = std::env::current_exe().context("cannot tell where this program is")?;
            let beside = this.parent().unwrap_or(Path::new("."));
            let up = if beside.ends_with("deps") { beside.parent() } else { None };
            up.unwrap_or(beside).to_path_buf()
        }
    };
    let path = folder.join(name);
    ensure!(path.is_file(), "there is no {}; build it first: cargo build --workspace --bins", path.display());
    Ok(path)
}
