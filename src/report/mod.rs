//! How a run is told: folds over the event stream.
//!
//! | file | tells |
//! |---|---|
//! | [`story`] | the fold that the others read from; [`track`] is what it keeps of samples |
//! | [`account`] | the story with its log: what the files are made from |
//! | [`live`] | the terminal while the run is on: [`frame`] draws it, [`tell`] says what changed |
//! | [`summary`] | the last words on standard output |
//! | [`jsonl`] | `events.jsonl`, the stream itself |
//! | [`json`] | `report.json`, for programs |
//! | [`html`] | `report.html`, for people; [`plot`] is its timeline |
//! | [`markdown`] | `report.md`, for pull requests, wikis and chat |
//! | [`junit`] | `junit.xml`, for CI servers |
//! | [`compare`] | two runs beside each other |
//! | [`files`] | all of the files, each whole or not at all |
//! | [`inert`] | what makes text from drills harmless |

use crate::event::RunEvent;

pub mod account;
pub mod compare;
pub mod files;
pub mod frame;
pub mod html;
pub mod inert;
pub mod json;
pub mod jsonl;
pub mod junit;
pub mod live;
pub mod markdown;
pub mod plot;
pub mod story;
pub mod summary;
pub mod tell;
pub mod track;
pub(crate) mod words;

pub use account::Account;
pub use files::{Format, Written, write_all};

/// A fold over the event stream that shows or writes something. A failing sink never stops the others, nor the run.
pub trait Sink: Send {
    /// Takes the next event.
    fn event(&mut self, event: &RunEvent) -> std::io::Result<()>;

    /// The stream has ended.
    fn finish(&mut self) -> std::io::Result<()>;
}
