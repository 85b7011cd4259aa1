//! What a kind of fault, action or probe says about itself: `firedrill explain` prints it, and `docs/kinds.md` is made of it.

/// One kind, for people. Its fields come from its schema, its first sentence from the documentation of its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// What it does, and by which means.
    pub mechanism: &'static str,
    /// How it is undone, and what does that when firedrill is dead. Empty for probes: they change nothing.
    pub undo: &'static str,
    /// How its effect is verified. Empty for probes.
    pub verified: &'static str,
    /// What surprises people: limits, side effects, what it cannot do.
    pub must_know: &'static [&'static str],
    /// What it must be allowed to do.
    pub permissions: Permissions,
    /// It inside a step (`fault:` …, `action:` …), or a probe (`http:` …), as YAML that validates.
    pub example: &'static str,
}

/// What a kind must be allowed to do, in the words of its platform. None of one sort is an empty list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions {
    /// To make the failure.
    pub inject: &'static [&'static str],
    /// To undo it.
    pub revert: &'static [&'static str],
    /// To look.
    pub read: &'static [&'static str],
}
