//! Choosing a strategy: what each would do with a release, without doing anything.

use slipway_core::rollout::Today;
use slipway_core::rollout::choice::{self, Comparison};

use super::{Control, ReleaseRequest};
use crate::admission::{self, Admitted};
use crate::error::Error;
use crate::views::StrategiesCompared;

impl Control {
    /// The strategies side by side for what is asked for.
    pub async fn compare_strategies(&self, request: ReleaseRequest) -> Result<StrategiesCompared, Error> {
        let Admitted { lane, release, strategy, .. } = admission::admit(&self.engine, &request, None).await?;
        let kept = self.kept_or_new(&lane).await?;
        let seen = self.observed(&kept);
        let comparison: Comparison = choice::compare(&kept, &release, &strategy, &Today::of(&kept, &seen.evidence));
        let instances = release.instances(&lane);
        Ok(StrategiesCompared { lane, version: release.version, instances, rate: seen.evidence.rate, comparison })
    }
}
