//! What a drill says: the file as types, loading with positions, checks, schedule.
//!
//! The way of a file: [`source`] reads it within bounds, [`tree`] turns it into nodes with positions, [`schema`] and the rules collect every
//! mistake as a [`diagnostic`], and only a clean tree becomes the types of [`spec`] ([`load`]). [`bind`] then joins a drill with an environment.

pub mod about;
pub mod address;
pub mod bind;
pub mod choice;
pub mod cron;
pub mod diagnostic;
pub mod editor;
pub mod fields;
pub mod freeze;
pub mod limits;
pub mod load;
pub mod lookup;
pub mod order;
pub mod region;
mod rules;
pub mod schedule;
pub mod schema;
mod secret;
pub mod source;
pub mod spec;
pub mod suggest;
pub mod text;
pub mod tree;
pub mod zone;

pub use bind::bind;
pub use rules::{at_least_one_of, exactly_one_of, text_of_format};
