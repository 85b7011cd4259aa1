//! The sandbox's own record of what really happened and when; a run never opens it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::Region;
use crate::clock::{Clock, Timestamp};

/// Name of the file in the sandbox's folder: one [`Moment`] a line, as JSON.
pub const FILE: &str = "truth.jsonl";

/// One line of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When, by the machine's clock.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum Happening {
    /// Everything answers; from here on the record is complete.
    Started,
    /// The edge's health checks gave a region up.
    RegionUnhealthy {
        /// Which.
        region: Region,
    },
    /// The edge's health checks trust a region again.
    RegionHealthy {
        /// Which.
        region: Region,
    },
    /// The edge sends users elsewhere because their region is unhealthy.
    Failover {
        /// Where they were.
        from: Region,
        /// Where they are.
        to: Region,
    },
    /// The edge sends users home again.
    FailBack {
        /// Where they were.
        from: Region,
        /// Where they are.
        to: Region,
    },
    /// An operator's weights decide where users go.
    WeightsSet {
        /// Which.
        weights: Weights,
    },
    /// Health decides again.
    WeightsCleared,
    /// A region's service failed for so long that it stays down until it is restarted.
    RegionSick {
        /// Which.
        region: Region,
    },
    /// Somebody restarted a region's service.
    Restarted {
        /// Which.
        region: Region,
    },
    /// An order that was acknowledged will never be readable in a region: it came after the region had taken over.
    OrderLost {
        /// Where it cannot be read.
        region: Region,
        /// Its number.
        number: u64,
        /// When it was acknowledged, in the other region.
        acknowledged: Timestamp,
    },
    /// A region's service could not renew its credentials; it goes on with those that it has.
    RenewalFails {
        /// Which.
        region: Region,
    },
    /// A region's service renews its credentials again.
    RenewalWorks {
        /// Which.
        region: Region,
    },
    /// The alert's condition holds, not yet for long enough.
    AlertPending {
        /// Which region it is about.
        region: Region,
    },
    /// The alert fires.
    AlertFiring {
        /// Which region it is about.
        region: Region,
    },
    /// The alert's condition no longer holds.
    AlertResolved {
        /// Which region it is about.
        region: Region,
    },
    /// The sandbox was told to stop.
    Stopped,
}

/// An operator's weights: how many users of a hundred a region gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Of us-east-1.
    #[serde(rename = "us-east-1")]
    pub east: u8,
    /// Of us-west-2.
    #[serde(rename = "us-west-2")]
    pub west: u8,
}

impl Weights {
    /// A region's.
    #[must_use]
    pub fn of(self, region: Region) -> u8 {
        match region {
            Region::East => self.east,
            Region::West => self.west,
        }
    }
}

/// Appends to the record. Clones write to the same file.
#[derive(Debug, Clone)]
pub struct Truth {
    file: Arc<Mutex<File>>,
}

impl Truth {
    /// Opens the record in `dir`, after what an earlier sandbox there has written.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(dir.join(FILE))?;
        Ok(Self { file: Arc::new(Mutex::new(file)) })
    }

    /// Writes one line, stamped now.
    pub fn note(&self, what: Happening) {
        // A clock made on the spot reads the machine's clock: a sandbox that runs for days must agree with a run that starts now.
        let moment = Moment { at: Clock::system().now(), what };
        let written = serde_json::to_string(&moment).map_err(io::Error::from).and_then(|line| {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.write_all(format!("{line}\n").as_bytes())
        });
        if let Err(error) = written {
            tracing::warn!(%error, ?what, "the sandbox could not write its record");
        }
    }
}

/// Reads a record. The last line may be incomplete while the sandbox runs; it is left out.
pub fn read(path: &Path) -> io::Result<Vec<Moment>> {
    let text = std::fs::read_to_string(path)?;
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete.lines().map(|line| serde_json::from_str(line).map_err(io::Error::from)).collect()
}
