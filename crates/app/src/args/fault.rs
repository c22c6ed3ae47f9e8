//! `slipway fault`.

use super::{Lane, version};

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["latency", "abort", "reset", "slow_body", "end"]))]
pub(crate) struct Fault {
    #[command(flatten)]
    pub lane: Lane,
    /// Requests to this version; the one that serves by default.
    #[arg(long, value_name = "VERSION", value_parser = version, conflicts_with = "end")]
    pub version: Option<String>,
    /// Of these only who is one of this cohort, as the version declares it.
    #[arg(long, value_name = "COHORT", conflicts_with = "end")]
    pub cohort: Option<String>,
    /// How many of them.
    #[arg(long, value_name = "PERCENT", required_unless_present = "end", conflicts_with = "end")]
    pub share: Option<String>,
    /// Hold them back for so long, 60s at the most.
    #[arg(long, value_name = "DURATION")]
    pub latency: Option<String>,
    /// Answer them with this status, 400 to 599, instead of reaching anybody.
    #[arg(long, value_name = "STATUS")]
    pub abort: Option<u16>,
    /// Reset their connection instead of answering.
    #[arg(long)]
    pub reset: bool,
    /// Pass the answer's body on at this rate, such as 1KB/s.
    #[arg(long, value_name = "SIZE/s")]
    pub slow_body: Option<String>,
    /// How long; it ends by itself, after 1h at the most.
    #[arg(long = "for", value_name = "DURATION", default_value = "1m", conflicts_with = "end")]
    pub length: String,
    /// End all faults now.
    #[arg(long)]
    pub end: bool,
    /// Why, for the journal.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}
