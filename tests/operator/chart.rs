//! The chart carries what the binary says of itself: the definitions that `firedrill crds` prints, the rules of each kind, the names of the kinds.

use std::collections::BTreeMap;
use std::path::Path;

use firedrill::drill::about::Sort;
use firedrill::operator::resource::Resource;
use firedrill::operator::{CHART_FOLDER, admission, crd, grants};

use super::ground::firedrill;

#[test]
fn the_chart_carries_the_definitions_that_the_binary_prints() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(CHART_FOLDER);
    let wanted: BTreeMap<String, String> =
        Resource::ALL.iter().map(|resource| (format!("{}.yaml", resource.plural), crd::yaml(resource).unwrap())).collect();
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(&folder).unwrap();
        wanted.iter().for_each(|(name, text)| std::fs::write(folder.join(name), text).unwrap());
    }
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let there: BTreeMap<String, String> = files.map(|name| (name.clone(), std::fs::read_to_string(folder.join(name)).unwrap())).collect();
    let names = |all: &BTreeMap<String, String>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&there), names(&wanted), "left: files of {CHART_FOLDER}");
    for (name, text) in &wanted {
        let differs = there[name].lines().zip(text.lines()).find(|(there, wanted)| there != wanted);
        assert!(
            &there[name] == text,
            "{CHART_FOLDER}/{name} is out of date ({differs:?}); write it anew with: UPDATE=1 cargo test --features failpoints --locked --test operator the_chart_carries"
        );
    }
    let printed = firedrill(&["crds"]);
    let documents: Vec<&str> = printed.split("---\n").skip(1).collect();
    assert_eq!(documents.len(), wanted.len());
    assert!(wanted.values().all(|text| documents.contains(&text.as_str())), "the binary prints something else");
}

#[test]
fn the_chart_has_the_rules_of_every_kind_and_of_the_operator() {
    holds(grants::CHART_FILE, &grants::yaml().unwrap());
}

/// So that `helm install` refuses a kind that this build does not have, and an editor knows those that it has.
#[test]
fn the_chart_knows_the_names_of_the_kinds_and_no_others() {
    let file = "charts/firedrill/values.schema.json";
    let mut text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    for (value, sorts) in [("faults", &[Sort::Fault, Sort::Action][..]), ("probes", &[Sort::Probe][..])] {
        let mut kinds: Vec<&str> = grants::grants(sorts).unwrap().into_keys().collect();
        if value == "probes" {
            // The others read no cluster: naming them would say that they do.
            kinds.retain(|kind| grants::grants(sorts).unwrap()[kind] != grants::Grant::default());
        }
        let begin = text.find(&format!("\"{value}\": {{")).unwrap();
        let from = begin + text[begin..].find("\"enum\": [").unwrap();
        let to = from + text[from..].find(']').unwrap();
        text.replace_range(from..to, &format!("\"enum\": {}", serde_json::to_string(&kinds).unwrap().trim_end_matches(']')));
    }
    holds(file, &text);
}

/// The versions of the chart and of the image are those of the binary.
#[test]
fn the_chart_and_the_image_are_of_this_version() {
    let read = |file: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let (chart, image, cargo) = (read("charts/firedrill/Chart.yaml"), read("Dockerfile"), read("Cargo.toml"));
    assert!(chart.contains(&format!("\nappVersion: {}\n", env!("CARGO_PKG_VERSION"))), "{chart}");
    let rust = cargo.lines().find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"')).unwrap();
    assert!(image.contains(&format!("FROM rust:{rust}-alpine")), "{image}");
}

/// A file is as it is to be; with UPDATE=1 it is made so.
fn holds(file: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(&path, wanted).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = there.lines().zip(wanted.lines()).find(|(there, wanted)| there != wanted);
    assert!(
        there == wanted,
        "{file} is out of date ({differs:?}); write it anew with: UPDATE=1 cargo test --features failpoints --locked --test operator the_chart"
    );
}

#[test]
fn the_chart_carries_the_policies_that_the_binary_prints() {
    let there = admission::chart().unwrap();
    holds(admission::CHART_FILE, &there);
    // Rendered, it says what the binary prints: lines are broken elsewhere, and other words are quoted.
    let flat = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with("{{-"));
        lines.flat_map(str::split_whitespace).filter(|word| *word != ">-").collect::<Vec<_>>().join(" ").replace('"', "")
    };
    let (namespace, account) = ("drills", "system:serviceaccount:drills:firedrill");
    let rendered = flat(&there).replace("{{$namespace}}", namespace).replace("{{$account}}", account);
    assert_eq!(rendered, flat(&firedrill(&["admission", "--namespace", namespace, "--account", account])));
}
