//! What a run proved: samples to clocks to verdicts to score, as pure functions of the event stream.
