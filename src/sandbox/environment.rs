//! The sandbox as an `Environment` document: the real one, an offline sample, and what of it may enter a hash.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::Variant;
use crate::drill::about::gateway_faults;
use crate::drill::spec::{API_VERSION, Allow, Environment, EnvironmentSpec, GatewayConnection, GatewayRef, Limits, Metadata, Network, PrometheusRef};

/// Where the components of a sandbox are.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    pub edge: SocketAddr,
    pub edge_admin: SocketAddr,
    pub east: SocketAddr,
    pub west: SocketAddr,
    pub orders_west: SocketAddr,
    pub prometheus: SocketAddr,
    pub gateway_socket: PathBuf,
}

/// The document that describes a sandbox at `addresses`.
pub(super) fn describe(variant: Variant, addresses: &Addresses) -> Environment {
    let url = |address: SocketAddr| format!("http://{address}");
    let endpoints = [
        ("checkout", addresses.edge),
        // The operators' side: weights and metrics. Sweep searches endpoints of this name.
        ("edge", addresses.edge_admin),
        ("east", addresses.east),
        ("west", addresses.west),
        ("orders", addresses.edge),
        ("ordersWest", addresses.orders_west),
    ];
    let endpoints: BTreeMap<String, String> = endpoints.into_iter().map(|(name, address)| (name.to_owned(), url(address))).collect();
    let socket = addresses.gateway_socket.display().to_string();
    Environment {
        api_version: API_VERSION.to_owned(),
        kind: "Environment".to_owned(),
        metadata: Metadata { name: variant.environment_name().to_owned(), ..Metadata::default() },
        spec: EnvironmentSpec {
            gateways: vec![GatewayRef {
                name: "edge".to_owned(),
                connection: GatewayConnection { socket: Some(socket), cluster: None, namespace: None },
            }],
            prometheus: vec![PrometheusRef { name: "main".to_owned(), url: url(addresses.prometheus) }],
            endpoints,
            allow: Allow { faults: gateway_faults(), no_dead_man: false },
            limits: Some(Limits { max_targets: Some(10), max_percent: None, max_regions: Some(1) }),
            network: Some(Network { allow_private: true, ..Network::default() }),
            ..EnvironmentSpec::default()
        },
    }
}

/// The environment as `validate` and `plan` see it: every name that a real one has, at addresses where nothing listens. Starts nothing.
///
/// It is also what a run in `--env sandbox` should hash: it depends on the variant only, while ports and folders differ from run to run.
#[must_use]
pub fn sample_environment(variant: Variant) -> Environment {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let gateway_socket = PathBuf::from("/run/firedrill/sandbox/gateway.sock");
    describe(variant, &Addresses { edge: at(1), edge_admin: at(6), east: at(2), west: at(3), orders_west: at(4), prometheus: at(5), gateway_socket })
}

/// The stable document behind an environment, for its hash: a sandbox's own environment, also one loaded from `--write-env`, becomes its
/// [`sample_environment`]; whatever else someone changed in the file, and every other environment, stays as it is.
#[must_use]
pub fn hash_basis(environment: &Environment) -> Environment {
    let Some(variant) = Variant::ALL.into_iter().find(|variant| variant.environment_name() == environment.metadata.name) else {
        return environment.clone();
    };
    let (sample, mut basis) = (sample_environment(variant), environment.clone());
    for (name, url) in &mut basis.spec.endpoints {
        if let Some(known) = sample.spec.endpoints.get(name).filter(|_| is_loopback(url)) {
            url.clone_from(known);
        }
    }
    for source in &mut basis.spec.prometheus {
        if let Some(known) = sample.spec.prometheus.iter().find(|known| known.name == source.name && is_loopback(&source.url)) {
            source.url.clone_from(&known.url);
        }
    }
    for gateway in &mut basis.spec.gateways {
        if let Some(known) = sample.spec.gateways.iter().find(|known| known.name == gateway.name && gateway.connection.socket.is_some()) {
            gateway.connection.socket.clone_from(&known.connection.socket);
        }
    }
    basis
}

/// Whether a URL is one of those that a sandbox makes: loopback with a port, nothing behind it.
fn is_loopback(url: &str) -> bool {
    url.strip_prefix("http://").and_then(|authority| authority.parse::<SocketAddr>().ok()).is_some_and(|address| address.ip().is_loopback())
}

/// Writes the document to `path` so that a reader sees all of it or nothing.
pub fn write(environment: &Environment, path: &Path) -> io::Result<()> {
    let yaml = serde_saphyr::to_string(environment).map_err(io::Error::other)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = std::fs::File::create(&beside).and_then(|mut file| {
        file.write_all(b"# Written by `firedrill sandbox`; good for as long as that process runs.\n")?;
        file.write_all(yaml.as_bytes())?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| std::fs::rename(&beside, path));
    if renamed.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(variant: Variant, first_port: u16) -> Environment {
        let at = |offset| SocketAddr::from((Ipv4Addr::LOCALHOST, first_port + offset));
        let gateway_socket = PathBuf::from(format!("/somewhere/{first_port}/gateway.sock"));
        describe(
            variant,
            &Addresses { edge: at(0), edge_admin: at(5), east: at(1), west: at(2), orders_west: at(3), prometheus: at(4), gateway_socket },
        )
    }

    #[test]
    fn two_sandboxes_on_different_ports_have_one_hash_basis() {
        for variant in Variant::ALL {
            assert_ne!(real(variant, 20_000), real(variant, 30_000));
            assert_eq!(hash_basis(&real(variant, 20_000)), sample_environment(variant));
            assert_eq!(hash_basis(&real(variant, 30_000)), sample_environment(variant));
        }
        assert_ne!(sample_environment(Variant::Default), sample_environment(Variant::NoFailover));
    }

    #[test]
    fn what_is_not_the_sandboxs_own_stays_in_the_hash_basis() {
        let mut changed = real(Variant::Default, 20_000);
        changed.spec.endpoints.insert("checkout".to_owned(), "https://checkout.example.com".to_owned());
        assert_ne!(hash_basis(&changed), sample_environment(Variant::Default));

        let mut other = real(Variant::Default, 20_000);
        other.metadata.name = "staging".to_owned();
        assert_eq!(hash_basis(&other), other);
    }

    #[test]
    fn the_written_file_reads_back_as_the_same_document() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("env.yaml");
        std::fs::write(&path, "what was there before").unwrap();
        let environment = real(Variant::NoFailover, 20_000);
        write(&environment, &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(serde_saphyr::from_str::<Environment>(&text).unwrap(), environment);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside the file");
    }
}
