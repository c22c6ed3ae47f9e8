//! The fence around instances: whoever was overtaken starts and stops none. The highest number of a start that drove
//! this data folder stands in the folder itself, where a process that stood still meets it when it wakes up; the shim of
//! an instance looks too, before it runs anything.
//!
//! Only where several control planes share a database: a folder's own database is locked with the folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use slipway_core::instance::{InstanceSpec, InstanceStatus, Pending, Stopped, Target, TargetError};
use slipway_core::job::{Job, JobEnd};
use slipway_core::names::InstanceId;
use slipway_core::smoke::SmokeReport;
use slipway_core::spec::SmokeTest;
use slipway_store::terms;
use slipway_target::process::ProcessTarget;

use crate::folder::Folder;

/// The fence of one start.
#[derive(Debug, Clone)]
pub(super) struct Fence {
    folder: PathBuf,
    own: u64,
}

/// Whether a later start than `own` has driven the data folder that this instance's folder lies in. For its shim.
pub(crate) fn is_overtaken(instance: &Path, own: u64) -> bool {
    instance.parent().and_then(Path::parent).is_some_and(|data| terms::highest(data) > own)
}

impl Fence {
    /// Raises the fence for a start: earlier ones act no more.
    pub fn raise(folder: &Folder, own: u64) -> Result<Fence> {
        let fence = Fence { folder: folder.path().to_path_buf(), own };
        terms::raise(folder.path(), own).context("the number of this start cannot be written down")?;
        if fence.is_overtaken() {
            bail!("another control plane has taken over meanwhile");
        }
        Ok(fence)
    }

    /// Whether a later start drives.
    pub fn is_overtaken(&self) -> bool {
        terms::highest(&self.folder) > self.own
    }

    /// Returns if this start still drives; otherwise never: nobody is left to take a result in.
    async fn pass(&self) {
        if self.is_overtaken() {
            tracing::warn!(
                own = self.own,
                "overtaken by another control plane: nothing is started or stopped any more"
            );
            std::future::pending::<()>().await;
        }
    }
}

/// Instances behind the fence.
pub(super) struct Fenced {
    pub target: Arc<ProcessTarget>,
    pub fence: Fence,
}

impl Target for Fenced {
    fn start<'a>(&'a self, spec: &'a InstanceSpec, artifact: PathBuf) -> Pending<'a, Result<(), TargetError>> {
        Box::pin(async move {
            self.fence.pass().await;
            self.target.start(spec, artifact).await
        })
    }

    fn stop<'a>(&'a self, id: &'a InstanceId) -> Pending<'a, Result<Stopped, TargetError>> {
        Box::pin(async move {
            self.fence.pass().await;
            self.target.stop(id).await
        })
    }

    fn smoke<'a>(&'a self, id: &'a InstanceId, incarnation: u32, tests: &'a [SmokeTest]) -> Pending<'a, SmokeReport> {
        self.target.smoke(id, incarnation, tests)
    }

    fn run<'a>(&'a self, job: &'a Job, artifact: Option<PathBuf>) -> Pending<'a, JobEnd> {
        Box::pin(async move {
            self.fence.pass().await;
            self.target.run(job, artifact).await
        })
    }

    fn instances(&self) -> Vec<InstanceStatus> {
        self.target.instances()
    }

    fn instance(&self, id: &InstanceId) -> Option<InstanceStatus> {
        self.target.instance(id)
    }

    fn log_files(&self, id: &InstanceId) -> Vec<PathBuf> {
        self.target.log_files(id)
    }

    fn on_change(&self, nudge: Arc<dyn Fn() + Send + Sync>) {
        self.target.on_change(nudge);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_start_is_overtaken_for_ever() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::find(Some(data.path())).unwrap();
        let third = Fence::raise(&folder, 3).unwrap();
        assert!(!third.is_overtaken());
        let ninth = Fence::raise(&folder, 9).unwrap();
        assert!(third.is_overtaken() && !ninth.is_overtaken());
        assert!(Fence::raise(&folder, 5).is_err(), "one that wakes up late does not lower it");
        assert!(!ninth.is_overtaken());
        let instance = data.path().join("instances/shop-1");
        assert!(is_overtaken(&instance, 5) && !is_overtaken(&instance, 9));
    }
}
