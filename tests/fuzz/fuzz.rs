//! The libFuzzer binary: one target, named by FIREDRILL_FUZZ. Run it with `scripts/fuzz`.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

mod targets;

static TARGET: LazyLock<targets::Target> = LazyLock::new(|| {
    let name = std::env::var("FIREDRILL_FUZZ").unwrap_or_default();
    let found = targets::ALL.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("FIREDRILL_FUZZ is '{name}'; targets are {:?}", targets::ALL.map(|(name, _)| name))).1
});

fuzz_target!(|data: &[u8]| TARGET(data));
