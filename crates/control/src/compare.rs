//! Two versions that are known, side by side. It changes nothing and asks for nothing but the store.

use slipway_core::names::{ServiceName, VersionName};
use slipway_core::rollout::Release;
use slipway_core::spec::{self, Difference};

use crate::control::Control;
use crate::error::Error;

/// Two versions of a service, and where their declared files differ.
#[derive(Debug, Clone)]
pub struct Compared {
    /// The version to start from.
    pub before: Release,
    /// The version that it is compared with.
    pub after: Release,
    /// Where their declared files differ, defaults filled in.
    pub differences: Vec<Difference>,
}

impl Compared {
    /// Compares two releases.
    pub(crate) fn of(before: Release, after: Release) -> Compared {
        let differences = spec::differences(&before.spec, &after.spec);
        Compared { before, after, differences }
    }
}

impl Control {
    /// Compares two versions as they were when each became known.
    pub async fn compare(
        &self,
        service: &ServiceName,
        before: &VersionName,
        after: &VersionName,
    ) -> Result<Compared, Error> {
        let (before, after) = (self.recorded(service, before).await?, self.recorded(service, after).await?);
        Ok(Compared::of(before, after))
    }

    async fn recorded(&self, service: &ServiceName, version: &VersionName) -> Result<Release, Error> {
        let nobody = || Error::NotFound(format!("no version {version} of {service} was ever released here"));
        let record = self.store().release(service, version).await?.ok_or_else(nobody)?;
        let spec = spec::parse(&record.file).map_err(Error::Mistakes)?.spec;
        Ok(Release { version: record.version, artifact: record.artifact, config: record.config, spec })
    }
}
