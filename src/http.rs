//! The one HTTP client builder: address rules, redirects, time limits.
