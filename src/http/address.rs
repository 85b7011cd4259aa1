//! Which addresses probes may talk to: metadata services never, private networks only where the environment says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// What an environment allows; checked on URLs, on every DNS answer and on every redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// Loopback and private addresses too. Link-local and metadata addresses never.
    pub allow_private: bool,
}

/// Why a URL or an address is not talked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a URL. The text itself is not shown: it may carry a password.
    #[error("invalid URL: {0}")]
    Invalid(String),
    /// Neither a name nor an address.
    #[error("'{0}' is not a host name or an address")]
    Host(String),
    /// `file`, `gopher`, …
    #[error("blocked scheme '{0}'; use http or https")]
    Scheme(String),
    /// `https://user:password@host/`.
    #[error("user information in a URL is blocked; send a header instead")]
    UserInfo,
    /// Where clouds hand out credentials.
    #[error("blocked address (link-local/metadata): {0}")]
    Metadata(String),
    /// No single host has such an address.
    #[error("blocked address (unspecified, multicast or reserved): {0}")]
    Nowhere(String),
    /// Needs `allowPrivate`.
    #[error("blocked address (loopback or private): {0}; `network: {{allowPrivate: true}}` in the environment allows it")]
    Private(String),
}

/// What an address is to us, from harmless to never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Public,
    Private,
    Nowhere,
    Metadata,
}

impl Rules {
    /// Reads a URL and checks what can be seen without resolving it.
    pub fn url(self, text: &str) -> Result<Url, Refusal> {
        let url = Url::parse(text).map_err(|error| Refusal::Invalid(error.to_string()))?;
        self.check_url(&url)?;
        Ok(url)
    }

    /// Checks scheme, user information and a literal address; the URL parser has already made `0x7f.1`, `017700000001` and the like plain.
    pub fn check_url(self, url: &Url) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::UserInfo);
        }
        self.check_host(&url.host().ok_or_else(|| Refusal::Invalid("no host".to_owned()))?)
    }

    /// Reads a host without a URL around it: a name, or an address in any spelling, IPv6 with or without brackets. Checked as [`Self::check_url`] does.
    pub fn host(self, text: &str) -> Result<Host, Refusal> {
        let host = match text.parse::<Ipv6Addr>() {
            Ok(ip) => Host::Ipv6(ip),
            Err(_) => Host::parse(text).map_err(|_| Refusal::Host(super::excerpt(text)))?,
        };
        self.check_host(&host)?;
        Ok(host)
    }

    /// Checks a host as far as its text tells.
    pub fn check_host<S: AsRef<str>>(self, host: &Host<S>) -> Result<(), Refusal> {
        match host {
            Host::Ipv4(ip) => self.check(IpAddr::V4(*ip), None),
            Host::Ipv6(ip) => self.check(IpAddr::V6(*ip), None),
            Host::Domain(name) => self.check_name(name.as_ref()),
        }
    }

    /// RFC 6761: these names are loopback whatever a resolver says.
    fn check_name(self, name: &str) -> Result<(), Refusal> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let loopback = name == "localhost" || name.ends_with(".localhost");
        if loopback && !self.allow_private { Err(Refusal::Private(name)) } else { Ok(()) }
    }

    /// Checks an address; `name` is what it was resolved from.
    pub fn check(self, ip: IpAddr, name: Option<&str>) -> Result<(), Refusal> {
        let what = || name.map_or_else(|| ip.to_string(), |name| format!("{name} is {ip}"));
        match class(ip) {
            Class::Public => Ok(()),
            Class::Private if self.allow_private => Ok(()),
            Class::Private => Err(Refusal::Private(what())),
            Class::Nowhere => Err(Refusal::Nowhere(what())),
            Class::Metadata => Err(Refusal::Metadata(what())),
        }
    }
}

fn class(ip: IpAddr) -> Class {
    match ip {
        IpAddr::V4(ip) => class_v4(ip),
        IpAddr::V6(ip) => class_v6(ip),
    }
}

/// IANA IPv4 special-purpose registry, and the metadata addresses that lie outside 169.254.0.0/16.
fn class_v4(ip: Ipv4Addr) -> Class {
    match ip.octets() {
        [169, 254, ..] => Class::Metadata,
        // Alibaba Cloud, Oracle Cloud (classic), Azure's wire server: a public address, but the host's own.
        [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => Class::Metadata,
        // 0.0.0.0/8 reaches the local host on Linux.
        [0, ..] | [224..=255, ..] => Class::Nowhere,
        [10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] => Class::Private,
        // Carrier-grade NAT (RFC 6598), protocol assignments (RFC 6890), benchmarking (RFC 2544).
        [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18..=19, ..] => Class::Private,
        _ => Class::Public,
    }
}

/// IANA IPv6 special-purpose registry. An address that carries an IPv4 address is judged by that one: a translator on the way would unwrap it.
fn class_v6(ip: Ipv6Addr) -> Class {
    let carried = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        class_v4(Ipv4Addr::new(a, b, c, d))
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Class::Nowhere,
        [0, 0, 0, 0, 0, 0, 0, 1] => Class::Private,
        // IPv4-mapped, IPv4-translated (RFC 2765), IPv4-compatible (RFC 4291), NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, a, b] | [0, 0, 0, 0, 0xffff, 0, a, b] | [0, 0, 0, 0, 0, 0, a, b] | [0x64, 0xff9b, 0, 0, 0, 0, a, b] => carried(a, b),
        // NAT64 with a prefix of one's own (RFC 8215): never a public address in itself.
        [0x64, 0xff9b, 1, _, _, _, a, b] => carried(a, b).max(Class::Private),
        // 6to4 (RFC 3056).
        [0x2002, a, b, ..] => carried(a, b),
        // Teredo (RFC 4380): the server's address, and the client's with its bits inverted.
        [0x2001, 0, a, b, _, _, c, d] => carried(a, b).max(carried(!c, !d)),
        // Metadata by IPv6: AWS (fd00:ec2::254, and its neighbours for pod identity, DNS, time), Google Cloud.
        [0xfd00, 0x0ec2, ..] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => Class::Metadata,
        [0xfe80..=0xfebf, ..] => Class::Metadata,
        [0xff00..=0xffff, ..] => Class::Nowhere,
        // ISATAP (RFC 5214): the interface identifier carries an IPv4 address, under any prefix.
        [first, _, _, _, 0 | 0x200, 0x5efe, a, b] => carried(a, b).max(own(first)),
        [first, ..] => own(first),
    }
}

/// Unique-local (fc00::/7) and the old site-local (fec0::/10) prefixes.
fn own(first: u16) -> Class {
    if matches!(first, 0xfc00..=0xfdff | 0xfec0..=0xfeff) { Class::Private } else { Class::Public }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(rules: Rules, url: &str) -> &'static str {
        match rules.url(url) {
            Ok(_) => "allowed",
            Err(Refusal::Invalid(_) | Refusal::Host(_)) => "invalid",
            Err(Refusal::Scheme(_)) => "scheme",
            Err(Refusal::UserInfo) => "userinfo",
            Err(Refusal::Metadata(_)) => "metadata",
            Err(Refusal::Nowhere(_)) => "nowhere",
            Err(Refusal::Private(_)) => "private",
        }
    }

    /// Each URL, and what is said where private addresses are allowed; where they are not, `private` stands for `allowed` here.
    const TABLE: &[(&str, &str)] = &[
        // Metadata, plainly.
        ("http://169.254.169.254/latest/meta-data/", "metadata"),
        ("http://169.254.170.2/v2/credentials", "metadata"),
        ("http://169.254.170.23/v1/credentials", "metadata"),
        ("http://169.254.0.1/", "metadata"),
        ("http://169.254.255.255/", "metadata"),
        ("https://169.254.169.254:8443/", "metadata"),
        ("http://100.100.100.200/", "metadata"),
        ("http://168.63.129.16/", "metadata"),
        ("http://192.0.0.192/", "metadata"),
        ("http://[fd00:ec2::254]/", "metadata"),
        ("http://[fd00:ec2::23]/", "metadata"),
        ("http://[fd20:ce::254]/", "metadata"),
        ("http://[fe80::1]/", "metadata"),
        ("http://[febf:ffff::1]/", "metadata"),
        // The same in disguise: decimal, octal, hexadecimal, short, a trailing dot, full-width digits, percent signs.
        ("http://2852039166/", "metadata"),
        ("http://0xa9fea9fe/", "metadata"),
        ("http://0251.0376.0251.0376/", "metadata"),
        ("http://025177524776/", "metadata"),
        ("http://0xa9.0xfe.0xa9.0xfe/", "metadata"),
        ("http://169.254.43518/", "metadata"),
        ("http://169.16689662/", "metadata"),
        ("http://169.254.169.254./", "metadata"),
        ("http://１６９.254.169.254/", "metadata"),
        ("http://%31%36%39.254.169.254/", "metadata"),
        ("http:169.254.169.254", "metadata"),
        // Carried inside IPv6.
        ("http://[::ffff:169.254.169.254]/", "metadata"),
        ("http://[::ffff:a9fe:a9fe]/", "metadata"),
        ("http://[::169.254.169.254]/", "metadata"),
        ("http://[::ffff:0:169.254.169.254]/", "metadata"),
        ("http://[64:ff9b::169.254.169.254]/", "metadata"),
        ("http://[64:ff9b:1::169.254.169.254]/", "metadata"),
        ("http://[2002:a9fe:a9fe::1]/", "metadata"),
        ("http://[2001:0:a9fe:a9fe::1]/", "metadata"),
        ("http://[2001:0:808:808:0:0:5601:5601]/", "metadata"),
        ("http://[2600::5efe:169.254.169.254]/", "metadata"),
        ("http://[2600::200:5efe:169.254.169.254]/", "metadata"),
        // No single host.
        ("http://0.0.0.0/", "nowhere"),
        ("http://0/", "nowhere"),
        ("http://0.1.2.3/", "nowhere"),
        ("http://[::]/", "nowhere"),
        ("http://[::ffff:0.0.0.0]/", "nowhere"),
        ("http://224.0.0.1/", "nowhere"),
        ("http://240.0.0.1/", "nowhere"),
        ("http://255.255.255.255/", "nowhere"),
        ("http://[ff02::1]/", "nowhere"),
        // Private.
        ("http://127.0.0.1:8080/", "private"),
        ("http://127.1/", "private"),
        ("http://0x7f.1/", "private"),
        ("http://017700000001/", "private"),
        ("http://2130706433/", "private"),
        ("http://localhost:9090/", "private"),
        ("http://LOCALHOST./", "private"),
        ("http://east.localhost/", "private"),
        ("http://10.1.2.3/", "private"),
        ("http://172.16.0.1/", "private"),
        ("http://172.31.255.255/", "private"),
        ("http://192.168.1.1/", "private"),
        ("http://100.64.0.1/", "private"),
        ("http://198.18.0.1/", "private"),
        ("http://[::1]/", "private"),
        ("http://[::127.0.0.1]/", "private"),
        ("http://[::ffff:10.0.0.1]/", "private"),
        ("http://[2002:a00:1::1]/", "private"),
        ("http://[64:ff9b:1::8.8.8.8]/", "private"),
        ("http://[fc00::1]/", "private"),
        ("http://[fd12:3456::1]/", "private"),
        ("http://[fec0::1]/", "private"),
        // Public, and the neighbours of what is not.
        ("https://checkout.example.com/healthz", "allowed"),
        ("http://localhost.example.com/", "allowed"),
        ("http://169.253.255.255/", "allowed"),
        ("http://169.255.0.1/", "allowed"),
        ("http://172.15.0.1/", "allowed"),
        ("http://172.32.0.1/", "allowed"),
        ("http://100.128.0.1/", "allowed"),
        ("http://223.255.255.255/", "allowed"),
        ("http://[2606:4700::1111]/", "allowed"),
        ("http://[64:ff9b::8.8.8.8]/", "allowed"),
        ("http://[2002:808:808::1]/", "allowed"),
        ("http://[::ffff:8.8.8.8]/", "allowed"),
        // Not ours to talk to at all.
        ("file:///etc/passwd", "scheme"),
        ("gopher://example.com/", "scheme"),
        ("ftp://169.254.169.254/", "scheme"),
        ("unix:///run/x.sock", "scheme"),
        ("https://user@example.com/", "userinfo"),
        ("https://user:secret@example.com/", "userinfo"),
        ("https://:secret@example.com/", "userinfo"),
        ("http://example.com@169.254.169.254/", "userinfo"),
        ("http://", "invalid"),
        ("checkout/healthz", "invalid"),
        ("http://[fe80::1%25eth0]/", "invalid"),
        ("http://256.256.256.256/", "invalid"),
        ("", "invalid"),
    ];

    #[test]
    fn every_spelling_of_a_forbidden_address_is_refused_and_its_neighbours_are_not() {
        for (url, expected) in TABLE {
            let open = if *expected == "private" { "allowed" } else { expected };
            assert_eq!(says(Rules { allow_private: true }, url), open, "{url} with allowPrivate");
            assert_eq!(says(Rules { allow_private: false }, url), *expected, "{url}");
        }
    }

    #[test]
    fn a_refusal_names_the_address_and_the_way_out_but_never_a_password() {
        let rules = Rules::default();
        let text = |url: &str| rules.url(url).expect_err(url).to_string();
        assert_eq!(text("http://2852039166/"), "blocked address (link-local/metadata): 169.254.169.254");
        assert!(text("http://10.0.0.1/").ends_with("`network: {allowPrivate: true}` in the environment allows it"));
        for url in ["https://user:hunter2@example.com/", "https://user:hunter2@exa mple.com/"] {
            assert!(!text(url).contains("hunter2"), "{url}");
        }
    }
}
