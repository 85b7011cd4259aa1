//! How a run proceeds: pure state machine, async runner, undo loop.
