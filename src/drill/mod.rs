//! What a drill says: the file as types, loading with positions, checks, schedule.

pub mod choice;
pub mod spec;
pub mod text;
