//! Standing by: one of several control planes on a shared database that does not drive (yet).

use std::time::Duration;

use anyhow::Result;
use slipway_store::{Address, Place, Standby, Store};

use crate::folder::Folder;
use crate::up::front::Front;

/// How often it is looked who drives.
const LOOK: Duration = Duration::from_millis(200);

/// Within this a rollout is taken up from a control plane that was killed.
const TAKEOVER: Duration = Duration::from_secs(5);
/// What is left of it for whoever takes over to begin: read what is open, and answer.
const BEGIN: Duration = Duration::from_secs(2);
const _: () = assert!(Standby::TERM.as_millis() + LOOK.as_millis() + BEGIN.as_millis() <= TAKEOVER.as_millis());

/// What came of standing by.
pub(super) enum Stood {
    /// This one drives from now on.
    Leads(Store),
    /// Everything was taken down, those that stand by included.
    TakenDown,
}

/// A control plane that stands by.
pub(super) struct Standing {
    standby: Standby,
    /// Where this one's API listens, for those that will stand by it.
    address: String,
    /// The newest start that was seen to drive, this one's own included.
    seen: u64,
}

impl Standing {
    /// `seen`: the newest start that was seen to drive before, 0 where none was.
    pub async fn join(folder: &Folder, database: &Address, address: String, seen: u64) -> Result<Standing> {
        Ok(Standing { standby: Standby::join(folder.path(), database).await?, address, seen })
    }

    /// The newest start that was seen to drive. What it has taken down this one must not bring back, now or later.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Waits until this one drives; requests go to whoever does. Unless whoever started it was `told` already how it goes,
    /// `joined` is called once another is seen to drive.
    pub async fn stand(
        &mut self,
        front: &Front,
        mut told: bool,
        mut joined: impl FnMut() -> Result<()>,
    ) -> Result<Stood> {
        loop {
            let looked = self.look(front).await;
            front.see(looked.is_ok());
            match looked {
                Ok(Some(stood)) => return Ok(stood),
                Ok(None) if !told && self.seen > 0 => {
                    told = true;
                    joined()?;
                }
                Ok(None) => {}
                // Whoever starts must know at once; whoever stands by goes on.
                Err(error) if !told => return Err(error.into()),
                Err(error) => tracing::warn!(%error, "it cannot be seen who drives"),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn look(&mut self, front: &Front) -> Result<Option<Stood>, slipway_store::Error> {
        match self.standby.look().await? {
            // Only this one can be reached there, so its predecessor was: killed, with a lease that holds a moment longer.
            Place::Driven(leader) if leader.address == self.address => {
                front.wait();
                Ok(None)
            }
            Place::Driven(leader) => {
                self.seen = leader.start;
                front.pass_to(&leader.address);
                Ok(None)
            }
            Place::TakenDown { start } if self.seen > 0 && start >= self.seen => Ok(Some(Stood::TakenDown)),
            Place::Free | Place::TakenDown { .. } => {
                let leads = self.standby.try_lead(&self.address, (self.seen > 0).then_some(self.seen)).await?;
                if let Some(store) = &leads {
                    self.seen = store.start_number();
                    front.wait();
                }
                Ok(leads.map(Stood::Leads))
            }
        }
    }
}
