//! The gateway's host classifier: a host name that a client sent, to service × region.

use firedrill::clock::Timestamp;
use firedrill::gateway::aws_host::classify;
use firedrill::gateway::{Effect, Rule};

/// The spelling of a name (capitals, port, last dot) changes nothing; a rule for all of a region covers what lies in it.
pub fn run(data: &[u8]) {
    let Ok(name) = std::str::from_utf8(data) else { return };
    let found = classify(name);
    assert_eq!(classify(&name.to_ascii_uppercase()), found, "capitals matter");
    let bare = !name.contains([':', '[', ']']);
    if bare && !name.ends_with('.') {
        assert_eq!(classify(&format!("{name}:443")), found, "a port matters");
        // A name may have 253 characters, with its last dot or without.
        assert_eq!(classify(&format!("{name}.")), found, "a last dot matters");
    }
    let Some(host) = found else { return };
    assert!(!host.service.is_empty() && host.service.is_ascii(), "{host:?}");
    assert!(host.service.split('.').all(|part| !part.is_empty()), "an empty part: {host:?}");
    assert!(host.is_service(&host.service), "{host:?} is not its own service");
    let Some(region) = host.region.as_deref().or(host.homed) else { return };
    assert!(host.is_in(region), "{host:?} is not in its own region");
    let rule = |services: &str| Rule {
        id: String::new(),
        run: String::new(),
        step: String::new(),
        effect: Effect::Refuse,
        services: vec![services.to_owned()],
        region: region.to_owned(),
        cut_existing: false,
        deadline: Timestamp(0),
    };
    assert!(rule("*").covers(&host) && rule(&host.service).covers(&host), "{host:?} escapes a rule for all of it");
    assert!(!rule("").covers(&host), "{host:?} is covered by a rule for no service");
}
