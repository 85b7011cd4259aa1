//! Which addresses a probe may be pointed at, as far as the text of a URL tells. Probes check again after resolution and on each redirect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Why a URL is refused, whatever the environment. `Ok` gives the host's address when it is written as one.
pub fn check_url(text: &str) -> Result<Option<IpAddr>, String> {
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("scheme '{}' is not allowed; use http or https", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("user information in a URL is not allowed".to_owned());
    }
    match url.host() {
        // RFC 6761: these names are loopback, whatever a resolver says.
        Some(Host::Domain(name)) if name == "localhost" || name.ends_with(".localhost") => Ok(Some(Ipv4Addr::LOCALHOST.into())),
        Some(Host::Domain(name)) => check_name(name).map(|()| None),
        // The parser has read decimal, octal and hexadecimal forms as the address they are.
        Some(Host::Ipv4(address)) => check_address(address.into()).map(|()| Some(address.into())),
        Some(Host::Ipv6(address)) => check_address(address.into()).map(|()| Some(address.into())),
        None => Err("a URL needs a host".to_owned()),
    }
}

/// The same for a host, or host and port, without a scheme.
pub fn check_host(text: &str) -> Result<Option<IpAddr>, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return check_address(address).map(|()| Some(address));
    }
    if text.is_empty() || text.contains(['/', '@', '?', '#']) {
        return Err(format!("'{}' is not a host", super::suggest::short(text)));
    }
    check_url(&format!("http://{text}/")).map_err(|error| if error.starts_with("not a URL") { format!("'{text}' is not a host") } else { error })
}

fn check_name(name: &str) -> Result<(), String> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let metadata = matches!(name.as_str(), "metadata.google.internal" | "metadata.goog" | "instance-data" | "metadata")
        || name.starts_with("instance-data.") && name.ends_with(".internal");
    if metadata { Err(BLOCKED.to_owned()) } else { Ok(()) }
}

const BLOCKED: &str = "blocked address (link-local/metadata)";

/// Refuses link-local and metadata addresses, also inside IPv6 (mapped, NAT64, 6to4).
pub fn check_address(address: IpAddr) -> Result<(), String> {
    if link_local_or_metadata(address) { Err(format!("{address}: {BLOCKED}")) } else { Ok(()) }
}

/// Link-local and metadata addresses, and those that are no host's.
#[must_use]
pub fn link_local_or_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => blocked_v4(v4),
        IpAddr::V6(v6) => blocked_v6(v6),
    }
}

fn blocked_v4(address: Ipv4Addr) -> bool {
    // 168.63.129.16 is Azure's, 100.100.100.200 Alibaba's; 192.0.0.192 Oracle's metadata address.
    let metadata = [[168, 63, 129, 16], [100, 100, 100, 200], [192, 0, 0, 192]].contains(&address.octets());
    address.is_link_local() || address.is_multicast() || address.is_broadcast() || address.is_unspecified() || metadata
}

fn blocked_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = embedded(address) {
        return blocked_v4(v4);
    }
    let segments = address.segments();
    // fd00:ec2::/32 carries the EC2 instance metadata, time, resolver and pod identity services.
    segments[0] & 0xffc0 == 0xfe80 || (segments[0] == 0xfd00 && segments[1] == 0x0ec2) || address.is_multicast() || address.is_unspecified()
}

/// The IPv4 address inside an IPv6 one: mapped (RFC 4291), compatible, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => None,
    }
}

/// Loopback and private addresses: probed only where the environment says `allowPrivate: true`.
#[must_use]
pub fn private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && (v4.octets()[1] & 0xc0) == 64;
            v4.is_loopback() || v4.is_private() || shared || v4.octets()[0] == 0
        }
        IpAddr::V6(v6) => embedded(v6).map_or_else(|| v6.is_loopback() || v6.segments()[0] & 0xfe00 == 0xfc00, |v4| private(v4.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_the_metadata_address_is_blocked() {
        for url in [
            "http://169.254.169.254/latest/meta-data",
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://0251.0376.0251.0376/",
            "http://169.254.43518/",
            "http://[fd00:ec2::254]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:a9fe:a9fe::1]/",
            "http://[fe80::1]/",
            "http://169.254.170.2/v2/credentials",
            "http://metadata.google.internal./",
            "http://0.0.0.0/",
        ] {
            assert!(check_url(url).unwrap_err().contains("blocked address (link-local/metadata)"), "{url}");
        }
    }

    #[test]
    fn other_schemes_and_user_information_are_refused() {
        for url in ["file:///etc/passwd", "gopher://x/", "ftp://x/"] {
            assert!(check_url(url).unwrap_err().contains("is not allowed; use http or https"), "{url}");
        }
        assert!(check_url("http://user:pass@example.com/").unwrap_err().contains("user information"));
        assert!(check_url("http://169.254.169.254@example.com/").unwrap_err().contains("user information"));
        assert!(check_url("not a url").is_err());
    }

    #[test]
    fn ordinary_addresses_are_told_from_private_ones() {
        assert_eq!(check_url("https://checkout.example.com/healthz"), Ok(None));
        assert_eq!(check_url("http://127.1:8080/"), Ok(Some(Ipv4Addr::LOCALHOST.into())));
        assert_eq!(check_url("http://api.localhost/"), Ok(Some(Ipv4Addr::LOCALHOST.into())));
        for text in ["127.0.0.1", "10.1.2.3", "192.168.0.1", "100.64.0.1", "::1", "fc00::1", "::ffff:10.0.0.1"] {
            assert!(private(text.parse().unwrap()), "{text}");
        }
        assert!(!private("198.51.100.7".parse().unwrap()));
        assert_eq!(check_host("db.example.com:5432"), Ok(None));
        assert!(check_host("169.254.169.254:80").is_err());
    }
}
