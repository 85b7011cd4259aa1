//! The chart carries what `firedrill crds` prints, file by file.

use std::collections::BTreeMap;
use std::path::Path;

use firedrill::operator::resource::Resource;
use firedrill::operator::{CHART_FOLDER, crd};

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
