//! Where the database is, as people say it.

use slipway_store::Address;

use crate::exit::Usage;

/// The variable that may say where the database is, with a password.
pub(crate) const VARIABLE: &str = "SLIPWAY_DATABASE";

/// What went wrong with a database, with which one and what to look at where it does not answer.
pub(crate) fn named(error: anyhow::Error, address: &Address) -> anyhow::Error {
    match error.downcast_ref::<slipway_store::Error>() {
        Some(slipway_store::Error::Unavailable(_)) => error
            .context(format!("{address} cannot be used; see that it runs, and that this machine may connect to it")),
        _ => error,
    }
}

/// An address that was given by option or variable. A password on the command line is refused: every user of the machine
/// could read it.
pub(crate) fn address(text: &str) -> Result<Address, Usage> {
    let address: Address = text.parse().map_err(Usage)?;
    if address.has_password() && std::env::var(VARIABLE).as_deref() != Ok(text) {
        return Err(Usage(format!(
            "a password on the command line can be read by everybody on this machine: leave it out and set PGPASSWORD or \
             ~/.pgpass, or give the whole address as {VARIABLE}"
        )));
    }
    Ok(address)
}
