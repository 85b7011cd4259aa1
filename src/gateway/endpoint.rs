//! Where requests to the gateway itself are passed on: `--endpoint`, usually an AWS emulator.

use std::str::FromStr;

/// An HTTP server without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl FromStr for Endpoint {
    type Err = String;

    /// Reads `http://HOST:PORT`. The error is a sentence with the way out.
    fn from_str(text: &str) -> Result<Self, String> {
        let example = "write it like 'http://127.0.0.1:4566'";
        let url = url::Url::parse(text).map_err(|error| format!("'{text}' is not a URL ({error}); {example}"))?;
        if url.scheme() == "https" {
            return Err(format!("https is not built yet; {example}, or put a TLS terminator in front of the endpoint"));
        }
        let host = url.host_str().filter(|_| url.scheme() == "http").ok_or_else(|| format!("'{text}' is not an http URL; {example}"))?;
        // Paths are kept as the client signed them, so nothing can be put in front of them.
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(format!("an endpoint is a scheme, a host and a port, nothing else; {example}"));
        }
        Ok(Self { host: host.trim_start_matches('[').trim_end_matches(']').to_owned(), port: url.port_or_known_default().unwrap_or(80) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_plain_http_server_without_a_path() {
        let read = |text: &str| text.parse::<Endpoint>();
        assert_eq!(read("http://localhost:4566"), Ok(Endpoint { host: "localhost".to_owned(), port: 4566 }));
        assert_eq!(read("http://[::1]/"), Ok(Endpoint { host: "::1".to_owned(), port: 80 }));
        for (text, word) in [
            ("https://localhost:4566", "https is not built yet"),
            ("localhost:4566", "not an http URL"),
            ("http://localhost/moto", "nothing else"),
            ("http://me@localhost/", "nothing else"),
            ("4566", "not a URL"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(word) && error.contains("http://127.0.0.1:4566"), "{text}: {error}");
        }
    }
}
