//! The AWS SDKs for Rust.

use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::config::{Credentials, Region};
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use futures::FutureExt;

use crate::ground::{Counts, Ground};
use crate::{ERRORS, Row, Seen, Sight, compare};

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("sts", "GetCallerIdentity", "query", ["503 ServiceUnavailable", "400 Throttling", "403 AccessDenied", "403 ExpiredToken", "500 InternalFailure"]),
    ("sts", "AssumeRole", "query", ["503 ServiceUnavailable", "400 Throttling", "403 AccessDenied", "400 ExpiredTokenException!", "500 InternalFailure"]),
    ("sts", "AssumeRoleWithWebIdentity", "query", ["503 ServiceUnavailable", "400 Throttling", "403 AccessDenied", "400 ExpiredTokenException!", "500 InternalFailure"]),
    ("iam", "ListPolicies", "query", ["503 ServiceUnavailable", "400 Throttling", "403 AccessDenied", "403 ExpiredToken", "500 ServiceFailure!"]),
    ("ec2", "DescribeInstances", "ec2", ["503 ServiceUnavailable", "503 RequestLimitExceeded", "403 UnauthorizedOperation", "400 RequestExpired", "500 InternalError"]),
    ("dynamodb", "GetItem", "json 1.0", ["503 ServiceUnavailableException", "400 ThrottlingException!", "400 AccessDeniedException", "400 ExpiredTokenException", "500 InternalServerError!"]),
    ("acm", "DeleteCertificate", "json 1.1", ["503 ServiceUnavailableException", "400 ThrottlingException!", "400 AccessDeniedException!", "400 ExpiredTokenException", "500 InternalServerException"]),
    ("eks", "CreateCapability", "rest-json", ["503 ServiceUnavailableException", "429 ThrottlingException!", "403 AccessDeniedException!", "403 ExpiredTokenException", "500 ServerException!"]),
    ("eks", "ListClusters", "rest-json", ["503 ServiceUnavailableException!", "429 ThrottlingException", "403 AccessDeniedException", "403 ExpiredTokenException", "500 ServerException!"]),
    ("route53", "ListHostedZones", "rest-xml", ["503 ServiceUnavailable", "400 Throttling", "403 AccessDenied", "403 ExpiredToken", "500 InternalFailure"]),
    ("route53", "ChangeTagsForResource", "rest-xml", ["503 ServiceUnavailable", "400 ThrottlingException!", "403 AccessDenied", "403 ExpiredToken", "500 InternalFailure"]),
];

/// A client with nothing but where, who and which region: retries and timeouts are the SDK's own.
macro_rules! client {
    ($sdk:ident, $endpoint:expr) => {
        $sdk::Client::from_conf(
            $sdk::Config::builder()
                .endpoint_url($endpoint)
                .region(Region::new("us-east-1"))
                .credentials_provider(Credentials::new("AKIDEXAMPLE", "secret", None, None, "test"))
                .build(),
        )
    };
}

/// What an error says; `typed`: whether it is the variant that the SDK has for its code.
fn seen<T, E: ProvideErrorMetadata>(answer: Result<T, SdkError<E, HttpResponse>>, typed: impl Fn(&E) -> bool) -> Seen {
    let error = answer.err().expect("an error");
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let said = error.as_service_error().unwrap_or_else(|| panic!("the service said nothing: {error}"));
    Seen {
        status,
        code: said.code().unwrap_or_default().to_owned(),
        typed: typed(said),
        message: said.message().unwrap_or_default().to_owned(),
        request: said.meta().extra("aws_request_id").unwrap_or_default().to_owned(),
    }
}

async fn see(endpoint: &str) -> Sight {
    let role = "arn:aws:iam::123456789012:role/service";
    let (sts, iam, ec2) = (client!(aws_sdk_sts, endpoint), client!(aws_sdk_iam, endpoint), client!(aws_sdk_ec2, endpoint));
    let (dynamodb, acm, eks) = (client!(aws_sdk_dynamodb, endpoint), client!(aws_sdk_acm, endpoint), client!(aws_sdk_eks, endpoint));
    let route53 = client!(aws_sdk_route53, endpoint);

    let identity = async { seen(sts.get_caller_identity().send().await, |_| false) };
    let assumed = async { seen(sts.assume_role().role_arn(role).role_session_name("s").send().await, |error| error.is_expired_token_exception()) };
    let federated = async {
        let call = sts.assume_role_with_web_identity().role_arn(role).role_session_name("s").web_identity_token("e30.e30.e30");
        seen(call.send().await, |error| error.is_expired_token_exception())
    };
    let policies = async { seen(iam.list_policies().send().await, |error| error.is_service_failure_exception()) };
    let instances = async { seen(ec2.describe_instances().send().await, |_| false) };
    let item = async {
        let key = aws_sdk_dynamodb::types::AttributeValue::S("1".to_owned());
        seen(dynamodb.get_item().table_name("orders").key("id", key).send().await, |error| {
            error.is_throttling_exception() || error.is_internal_server_error()
        })
    };
    let certificate = async {
        let call = acm.delete_certificate().certificate_arn("arn:aws:acm:us-east-1:123456789012:certificate/0");
        seen(call.send().await, |error| error.is_throttling_exception() || error.is_access_denied_exception())
    };
    let capability = async {
        let call = eks.create_capability().cluster_name("blue").capability_name("c").role_arn(role);
        let call = call.r#type(aws_sdk_eks::types::CapabilityType::Ack);
        let call = call.delete_propagation_policy(aws_sdk_eks::types::CapabilityDeletePropagationPolicy::Retain);
        seen(call.send().await, |error| error.is_throttling_exception() || error.is_access_denied_exception() || error.is_server_exception())
    };
    let clusters = async { seen(eks.list_clusters().send().await, |error| error.is_service_unavailable_exception() || error.is_server_exception()) };
    let zones = async { seen(route53.list_hosted_zones().send().await, |_| false) };
    let tags = async {
        let tag = aws_sdk_route53::types::Tag::builder().key("k").value("v").build();
        let call = route53.change_tags_for_resource().resource_type(aws_sdk_route53::types::TagResourceType::Hostedzone);
        seen(call.resource_id("Z1").add_tags(tag).send().await, |error| error.is_throttling_exception())
    };
    // Boxed: the futures of the SDKs are large in a build without optimisation.
    let all = [
        identity.boxed(),
        assumed.boxed(),
        federated.boxed(),
        policies.boxed(),
        instances.boxed(),
        item.boxed(),
        certificate.boxed(),
        capability.boxed(),
        clusters.boxed(),
        zones.boxed(),
        tags.boxed(),
    ];
    let all = futures::future::join_all(all).await;
    TABLE.iter().map(|(service, operation, ..)| ((*service).to_owned(), (*operation).to_owned())).zip(all).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_sdks_return_their_own_variants_in_every_protocol_and_retry_what_they_retry_at_aws() {
    let all = ERRORS.map(async |(error, _)| -> (Sight, Counts) {
        let ground = Ground::new(error).await;
        let seen = see(&ground.endpoint()).await;
        (seen, ground.counts().await)
    });
    compare("aws-sdk-rust", TABLE, &futures::future::join_all(all).await);
}
