//! A server that answers every call with one error, and counts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use firedrill::gateway::aws_call::{self, AwsError};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;

/// Service and operation to requests.
pub type Counts = BTreeMap<(String, String), u64>;

pub struct Ground {
    address: SocketAddr,
    counts: Arc<Mutex<Counts>>,
}

impl Ground {
    pub async fn new(error: AwsError) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Mutex::new(Counts::new()));
        let told = counts.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let told = told.clone();
                let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                    let told = told.clone();
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        let call = aws_call::recognise(None, &parts.method, &parts.uri, &parts.headers, &body).expect("a call");
                        let key = (call.service.clone(), call.operation.clone().unwrap_or_default());
                        *told.lock().unwrap().entry(key).or_default() += 1;
                        Ok::<_, hyper::Error>(aws_call::document(error, &call, parts.method == Method::HEAD, "id-1").map(Full::new))
                    }
                });
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, counts }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub async fn counts(&self) -> Counts {
        self.counts.lock().unwrap().clone()
    }
}
