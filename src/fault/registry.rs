//! Opens the kinds of this build against an environment.
