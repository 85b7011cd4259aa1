//! Actions that only the embedded sandbox knows.

mod control;
pub mod edge_shift;
