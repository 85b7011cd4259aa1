//! How a run is told: folds over the event stream.

use crate::event::RunEvent;

/// A fold over the event stream that shows or writes something. A failing sink never stops the others, nor the run.
pub trait Sink: Send {
    /// Takes the next event.
    fn event(&mut self, event: &RunEvent) -> std::io::Result<()>;

    /// The stream has ended.
    fn finish(&mut self) -> std::io::Result<()>;
}
