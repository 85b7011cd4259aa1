//! Real AWS clients, unchanged, against a gateway that answers errors: each raises its own typed exceptions, and retries as it does in front of AWS.
//!
//! The tables below say what AWS's documentation and service models say, cell by cell; `!` after a code means that the client raised the exception or
//! variant that it has for it, not its general one; `once` that it does not try again although others would. docs/aws-errors.md cites the sources.
#![cfg(feature = "aws")]
// Clippy takes only functions marked as tests for tests; what they share is not.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod boto3;
mod every_operation;
mod ground;
mod rust_sdks;

use std::collections::BTreeMap;

use firedrill::gateway::aws_call::AwsError;

/// The errors, in the order of the tables' columns, and whether clients try again.
const ERRORS: [(AwsError, bool); 5] = [
    (AwsError::ServiceUnavailable, true),
    (AwsError::Throttling, true),
    (AwsError::AccessDenied, false),
    (AwsError::ExpiredToken, false),
    (AwsError::InternalError, true),
];

/// Service as in endpoints, operation, protocol, and per error what the client has to say.
type Row = (&'static str, &'static str, &'static str, [&'static str; 5]);

/// What one client made of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    status: u16,
    code: String,
    /// It raised its own exception for this, not the general one.
    typed: bool,
    message: String,
    request: String,
}

/// Service and operation to what was seen.
type Sight = BTreeMap<(String, String), Seen>;

/// Compares what a client saw of each error with the table, and how often it asked with whether it should have tried again. Prints what was seen.
fn compare(client: &str, table: &[Row], seen: &[(Sight, ground::Counts)]) {
    let mut wrong = Vec::new();
    let named: Vec<String> = ERRORS.iter().map(|(error, _)| format!("{error:?}")).collect();
    println!("\n{client}: status, code (! its own typed exception), requests that the gateway counted\n");
    println!("{:<22} {:<27} {:<9} {}", "service", "operation", "protocol", named.iter().map(|name| format!("{name:<41}")).collect::<String>());
    for (service, operation, protocol, expected) in table {
        let key = ((*service).to_owned(), (*operation).to_owned());
        let mut line = format!("{service:<22} {operation:<27} {protocol:<9} ");
        for (((error, retried), expected), (sight, counts)) in ERRORS.iter().zip(expected).zip(seen) {
            let Some(seen) = sight.get(&key) else {
                wrong.push(format!("{service} {operation} {error:?}: not asked for"));
                continue;
            };
            let (expected, retried) = expected.strip_suffix(" once").map_or((*expected, *retried), |expected| (expected, false));
            let cell = format!("{} {}{}", seen.status, seen.code, if seen.typed { "!" } else { "" });
            let asked = counts.get(&key).copied().unwrap_or(0);
            line.push_str(&format!("{:<41}", format!("{cell} ×{asked}")));
            if cell != expected {
                wrong.push(format!("{service} {operation} {error:?}: {cell}, not {expected}"));
            }
            if if retried { asked < 2 } else { asked != 1 } {
                wrong.push(format!("{service} {operation} {error:?}: the gateway counted {asked} requests"));
            }
            // A HEAD has neither.
            if *operation != "HeadObject" && (seen.message.is_empty() || seen.request.is_empty()) {
                wrong.push(format!("{service} {operation} {error:?}: no message or no request id: {seen:?}"));
            }
        }
        println!("{}", line.trim_end());
    }
    assert!(seen.len() == ERRORS.len() && wrong.is_empty(), "{client}:\n{}", wrong.join("\n"));
}
