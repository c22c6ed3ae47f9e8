//! Tokens, for the wire.

use serde::{Deserialize, Serialize};
use slipway_core::rights::{Right, Rights};
use slipway_store::TokenRecord;
use utoipa::ToSchema;

use crate::problem::Problem;

/// A token that is asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Whose it is; the journal says `user:NAME`.
    pub name: String,
    /// What its holder may do: `release`, `rollback`, `operate`, `approve`, `override`, `admin`. All but the last two
    /// where absent; everybody with a token may look.
    #[serde(default)]
    pub may: Option<Vec<String>>,
}

impl NewToken {
    pub(crate) fn rights(&self) -> Result<Rights, Problem> {
        let Some(names) = &self.may else { return Ok(Rights::usual()) };
        let rights = names.iter().map(|name| name.parse::<Right>()).collect::<Result<_, _>>();
        rights.map_err(|unknown| Problem::bad_request(unknown.to_string()))
    }
}

/// A token, without its text.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireToken {
    /// Whose it is.
    pub name: String,
    /// What its holder may do, beside looking.
    pub may: Vec<String>,
    /// Since when, milliseconds since 1970.
    pub created_at: u64,
}

/// A token that was just made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MadeToken {
    /// About it.
    #[serde(flatten)]
    pub about: WireToken,
    /// Its text. It is told this once.
    pub token: String,
}

impl From<TokenRecord> for WireToken {
    fn from(record: TokenRecord) -> WireToken {
        let may = record.rights.iter().map(|right| right.name().to_string()).collect();
        WireToken { name: record.name, may, created_at: record.created_at.0 }
    }
}
