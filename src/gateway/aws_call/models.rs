//! The AWS service models, as far as errors on the wire need them: read from `models.txt`, each service when it is first asked for.
//!
//! Source: the published service models (`service-2.json`) in botocore, whose version the first line of `models.txt` names; `scripts/aws-models` writes it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{LazyLock, OnceLock};

use super::{AwsError, Protocol};

/// One service: its first line, and the rest unread.
#[derive(Debug)]
pub(super) struct Model {
    /// Name as in the endpoints table.
    pub endpoint: &'static str,
    /// Name in SigV4 credential scopes.
    pub signing: &'static str,
    protocols: &'static str,
    /// What stands before the operation in `X-Amz-Target`, and in the path of RPC v2.
    pub target: &'static str,
    /// The query protocol's `Version`.
    pub version: &'static str,
    /// Of the query protocol's answers.
    pub namespace: Option<&'static str>,
    body: &'static str,
    content: OnceLock<Content>,
}

/// What a service's lines say.
#[derive(Debug, Default)]
pub(super) struct Content {
    errors: Vec<Modelled>,
    usual: &'static str,
    /// Operation to the letters of its errors.
    operations: BTreeMap<&'static str, &'static str>,
    /// Of the REST protocols.
    pub routes: Vec<Route>,
}

/// An error that a service model has.
#[derive(Debug)]
pub(super) struct Modelled {
    letter: char,
    meaning: AwsError,
    /// Its name in the model, which SDKs name exceptions and variants after.
    pub shape: &'static str,
    /// Its name in the query protocol.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// The member that carries the message.
    pub member: &'static str,
    /// Whether `Retry-After` is one of its members.
    pub retry_after: bool,
}

/// Where an operation of a REST protocol is.
#[derive(Debug)]
pub(super) struct Route {
    pub operation: &'static str,
    pub method: &'static str,
    /// `{}`: any segment; `{+}`: any number of them.
    pub segments: Vec<&'static str>,
    /// Query parameters that are always there, and their value where it is fixed.
    pub parameters: Vec<(&'static str, Option<&'static str>)>,
    /// Headers that are always there.
    pub headers: Vec<&'static str>,
}

/// All services, and where their names lead.
struct Table {
    models: Vec<Model>,
    endpoints: HashMap<&'static str, Vec<usize>>,
    signing: HashMap<&'static str, Vec<usize>>,
    targets: HashMap<&'static str, Vec<usize>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table { models: Vec::new(), endpoints: HashMap::new(), signing: HashMap::new(), targets: HashMap::new() };
    for block in include_str!("models.txt").split("\n@").skip(1) {
        let (head, body) = block.split_once('\n').unwrap_or((block, ""));
        let mut words = head.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let (endpoint, signing, protocols, target, version, namespace) = (word(), word(), word(), word(), word(), word());
        let at = table.models.len();
        table.endpoints.entry(endpoint).or_default().push(at);
        table.signing.entry(signing).or_default().push(at);
        if target != "-" {
            table.targets.entry(target).or_default().push(at);
        }
        let namespace = Some(namespace).filter(|uri| *uri != "-");
        table.models.push(Model { endpoint, signing, protocols, target, version, namespace, body, content: OnceLock::new() });
    }
    table
});

/// All of them.
#[cfg(test)]
pub(super) fn every() -> &'static [Model] {
    &TABLE.models
}

/// Models of the service with this name in the endpoints table: two for `elasticloadbalancing`, none for what is no API.
pub(super) fn by_endpoint(service: &str) -> Vec<&'static Model> {
    // Directory buckets and what answers in the place of buckets speak S3's API under other names.
    let bucket = ["s3-object-lambda", "s3express"].contains(&service);
    named(&TABLE.endpoints, if bucket { "s3" } else { service })
}

/// Models of the services that are signed for by this name: both of DynamoDB and its streams for `dynamodb`.
pub(super) fn by_signing(name: &str) -> Vec<&'static Model> {
    let name = if ["s3-object-lambda", "s3express"].contains(&name) { "s3" } else { name };
    let mut found = named(&TABLE.signing, name);
    if found.is_empty() {
        found = named(&TABLE.endpoints, name);
    }
    // The one that has the name itself goes first.
    found.sort_by_key(|model| model.endpoint != name);
    found
}

/// Models with this target prefix.
pub(super) fn by_target(prefix: &str) -> Vec<&'static Model> {
    named(&TABLE.targets, prefix)
}

/// Models of the query protocols with this API version.
pub(super) fn by_version(version: &str) -> Vec<&'static Model> {
    TABLE.models.iter().filter(|model| model.version == version && (model.speaks(Protocol::Query) || model.speaks(Protocol::Ec2Query))).collect()
}

fn named(names: &HashMap<&'static str, Vec<usize>>, name: &str) -> Vec<&'static Model> {
    names.get(name).into_iter().flatten().filter_map(|at| TABLE.models.get(*at)).collect()
}

impl Model {
    /// Whether clients of this service may speak the protocol.
    pub fn speaks(&self, protocol: Protocol) -> bool {
        self.protocols.split(',').any(|word| match protocol {
            // Before they took to JSON, the compatible ones spoke query; SDKs of those days still do.
            Protocol::Query => word == "query" || word == "compatible",
            Protocol::Ec2Query => word == "ec2",
            Protocol::Json10 | Protocol::Json11 => word.starts_with("json"),
            Protocol::RestJson => word == "rest-json",
            Protocol::RestXml => word == "rest-xml",
            Protocol::Cbor => word == "cbor",
        })
    }

    /// The REST protocol that the service speaks.
    pub fn rest(&self) -> Option<Protocol> {
        [Protocol::RestJson, Protocol::RestXml].into_iter().find(|protocol| self.speaks(*protocol))
    }

    /// Whether its JSON is 1.1.
    pub fn is_json11(&self) -> bool {
        self.protocols.split(',').any(|word| word == "json1.1")
    }

    /// Whether its JSON and CBOR errors also say what the query protocol's code was.
    pub fn is_query_compatible(&self) -> bool {
        self.protocols.split(',').any(|word| word == "compatible")
    }

    /// Its lines.
    pub fn content(&self) -> &Content {
        self.content.get_or_init(|| Content::read(self.body))
    }
}

impl Content {
    fn read(body: &'static str) -> Self {
        let mut content = Self::default();
        let mut path: Vec<&'static str> = Vec::new();
        for line in body.lines() {
            if let Some(error) = line.strip_prefix('!') {
                content.errors.extend(Modelled::read(error));
            } else if let Some(usual) = line.strip_prefix('*') {
                content.usual = usual;
            } else {
                let mut words = line.split(' ').peekable();
                let operation = words.next().unwrap_or_default();
                let route = words.next_if(|word| !word.starts_with(':')).and_then(|method| Some((method, words.next()?)));
                let letters = words.next().and_then(|word| word.strip_prefix(':')).unwrap_or(content.usual);
                content.operations.insert(operation, letters);
                if let Some((method, place)) = route {
                    content.routes.push(Route::read(operation, method, place, &mut path));
                }
            }
        }
        content
    }

    /// The names of all operations.
    pub fn operations(&self) -> impl Iterator<Item = &'static str> {
        self.operations.keys().copied()
    }

    /// Whether the service has this operation.
    pub fn has(&self, operation: &str) -> bool {
        self.operations.contains_key(operation)
    }

    /// The modelled error that says this best: one of the operation's own, else with `of_service` one of its service's.
    ///
    /// The latter is for the JSON protocols, whose services name one meaning alike everywhere. In front of the XML ones stands what answers the common codes
    /// to every operation: Route 53 says `Throttling` but for the few operations whose model has a ThrottlingException.
    pub fn says(&self, meaning: AwsError, operation: Option<&str>, of_service: bool) -> Option<&Modelled> {
        let own = operation.and_then(|operation| self.operations.get(operation)).copied().unwrap_or_default();
        let mut meant = self.errors.iter().filter(|error| error.meaning == meaning);
        let of_operation = meant.clone().find(|error| own.contains(error.letter));
        // Where an operation names an expired token, it is one that was handed in (a web identity's); everywhere else it is the credentials' own.
        of_operation.or_else(|| if of_service && meaning != AwsError::ExpiredToken { meant.next() } else { None })
    }
}

impl Modelled {
    fn read(line: &'static str) -> Option<Self> {
        let mut words = line.split(' ');
        let letter = words.next()?.chars().next()?;
        let meaning = match words.next()? {
            "ServiceUnavailable" => AwsError::ServiceUnavailable,
            "Throttling" => AwsError::Throttling,
            "AccessDenied" => AwsError::AccessDenied,
            "ExpiredToken" => AwsError::ExpiredToken,
            "InternalError" => AwsError::InternalError,
            _ => return None,
        };
        let name = words.next()?;
        let (shape, code) = name.split_once('=').unwrap_or((name, name));
        let status = words.next()?.parse().ok()?;
        Some(Self { letter, meaning, shape, code, status, member: words.next()?, retry_after: words.next().is_some() })
    }
}

impl Route {
    /// `path` is that of the line before, and of this one afterwards.
    fn read(operation: &'static str, method: &'static str, place: &'static str, path: &mut Vec<&'static str>) -> Self {
        let (place, headers) = place.split_once('#').unwrap_or((place, ""));
        let (place, parameters) = place.split_once('?').unwrap_or((place, ""));
        let (shared, rest) = place.split_once('/').unwrap_or((place, ""));
        path.truncate(shared.parse().unwrap_or(0));
        if place.contains('/') {
            path.extend(rest.split('/'));
        }
        let parameters = parameters.split('&').filter(|pair| !pair.is_empty());
        Self {
            operation,
            method,
            segments: path.clone(),
            parameters: parameters.map(|pair| pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value)))).collect(),
            headers: headers.split('#').filter(|name| !name.is_empty()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::aws_host;

    const TEXT: &str = include_str!("models.txt");

    #[test]
    fn every_line_of_the_table_is_read() {
        let lines = |start: &str| TEXT.lines().filter(|line| line.starts_with(start)).count();
        let sum = |count: fn(&Content) -> usize| TABLE.models.iter().map(|model| count(model.content())).sum::<usize>();
        assert_eq!(TABLE.models.len(), lines("@"));
        assert_eq!(sum(|content| content.errors.len()), lines("!"));
        let operations = TEXT.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_alphabetic()));
        assert_eq!(sum(|content| content.operations.len()), operations.clone().count());
        assert_eq!(
            sum(|content| content.routes.len()),
            operations.filter(|line| line.split(' ').nth(1).is_some_and(|word| !word.starts_with(':'))).count()
        );
        for model in &TABLE.models {
            let protocols = [Protocol::Query, Protocol::Ec2Query, Protocol::Json10, Protocol::RestJson, Protocol::RestXml, Protocol::Cbor];
            assert!(protocols.iter().any(|protocol| model.speaks(*protocol)), "{}", model.endpoint);
            for error in &model.content().errors {
                assert!((400..600).contains(&error.status), "{} {}", model.endpoint, error.shape);
            }
        }
    }

    #[test]
    fn every_service_has_a_name_that_rules_may_use() {
        let unknown: Vec<_> = TABLE.models.iter().map(|model| model.endpoint).filter(|name| !aws_host::services().contains(name)).collect();
        assert_eq!(unknown, Vec::<&str>::new());
    }

    #[test]
    fn the_table_is_compact() {
        assert!(TEXT.len() < 700 * 1024, "{}", TEXT.len());
    }
}
