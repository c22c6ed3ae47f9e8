//! A change of the routing table that comes in several lines.

use std::io;

use slipway_core::traffic::TableChange;

/// A change once its last part is here.
pub(crate) fn whole(parts: &mut Option<TableChange>, part: TableChange) -> io::Result<Option<TableChange>> {
    // One that made no sense was passed over: what follows it must not be taken for all that there is.
    let torn = || io::Error::new(io::ErrorKind::InvalidData, "the parts of a routing table do not fit together");
    let change = match parts.take() {
        None if part.part > 0 => return Err(torn()),
        None => part,
        Some(mut begun) => {
            if !begun.join(part) {
                return Err(torn());
            }
            begun
        }
    };
    if change.more {
        *parts = Some(change);
        return Ok(None);
    }
    Ok(Some(change))
}
