//! Actions that only the embedded sandbox knows.

pub mod params;
