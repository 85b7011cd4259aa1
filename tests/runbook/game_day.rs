//! A person with nothing but the printed runbook: at each moment, also when things go wrong, it says who does what next.

use firedrill::runbook::fold::COLUMNS;
use regex::Regex;

use super::paper::{blocks, commands};
use super::printed;

const AWS: &str = "drills/aws/evacuate-us-east-1.yaml";
const FAIL_BACK: &str = "drills/sandbox/fail-back.yaml";

fn runbook(words: &[&str]) -> String {
    let state = tempfile::tempdir().unwrap();
    printed(state.path(), &[&["runbook"], words].concat()).replace(&format!(" --state-dir {}", state.path().display()), "")
}

/// A part of a runbook, by its heading.
fn part<'a>(text: &'a str, heading: &str) -> &'a str {
    let start = text.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("{heading}: {text}"));
    let rest = &text[start + 1..];
    &rest[..rest[3..].find("\n## ").map_or(rest.len(), |end| end + 3)]
}

/// The cells of the rows of the timeline, without the head.
fn timeline(text: &str) -> Vec<Vec<String>> {
    let rows = part(text, "Timeline").lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #"));
    rows.map(|line| line.replace("\\|", "/").split('|').map(|cell| cell.trim().to_owned()).skip(1).collect()).collect()
}

fn row<'a>(rows: &'a [Vec<String>], text: &str) -> &'a [String] {
    let found: Vec<&Vec<String>> = rows.iter().filter(|cells| cells.iter().any(|cell| cell.contains(text))).collect();
    assert_eq!(found.len(), 1, "{text}: {rows:#?}");
    found[0]
}

#[test]
fn every_exit_code_says_what_it_means_and_who_does_what() {
    let text = runbook(&[FAIL_BACK]);
    let ends = part(&text, "How it ended");
    let end = |code: &str| ends.lines().find(|line| line.starts_with(&format!("| {code}"))).unwrap_or_else(|| panic!("{code}: {ends}"));
    for code in ["0", "3", "4", "6"] {
        assert!(end(&format!("{code} |")).ends_with("Comms: A6 |"), "{ends}");
    }
    assert!(end("5, or none").contains("A8") && end("8 or 9").contains("A6") && end("10").contains("owner"), "{ends}");
    // Two ways to exit 7 ask for opposite things.
    let fault = end("7 and “STILL IN PLACE” names a fault");
    assert!(fault.contains("The drill lead types `firedrill resume latest`") && fault.contains("the abort card") && fault.contains("A10"), "{fault}");
    let evacuated = end("7, no fault is named, and either “did not become healthy”");
    assert!(
        evacuated.contains("the owner of us-east-1 repair it") && evacuated.contains("A9") && evacuated.contains("and not before"),
        "{evacuated}"
    );
    let stuck = end("7, the region was healthy, and an action is named");
    assert!(stuck.contains("from “Then” on") && stuck.contains("A10"), "{stuck}");
    assert!(end("any other").contains("`firedrill status`"), "{ends}");
    // Without fail-back nothing waits for a region.
    let plain = runbook(&["drills/sandbox/iam-fails.yaml"]);
    assert!(!part(&plain, "How it ended").contains("not healthy") && !plain.contains("A9"), "{plain}");
}

#[test]
fn what_is_typed_stands_whole_below_the_timeline() {
    let text = runbook(&["drills/kubernetes/evacuate-nodes.yaml"]);
    let rows = timeline(&text);
    let typed = |said: &str| {
        let row = row(&rows, said);
        assert!(row[3].ends_with(&format!("(type: row {}, below)", row[0])), "{row:?}");
        let lines = super::paper::labelled(&text, "### What is typed", &format!("Row {}, {}:", row[0], row[2].trim_matches('*')));
        lines.join("\n").replace(" \\\n   ", "")
    };
    assert_eq!(typed("starts the run"), "firedrill run drills/kubernetes/evacuate-nodes.yaml --env '<environment>'");
    assert_eq!(typed("makes this run's own card"), "firedrill runbook --record latest --card");
    assert!(typed("makes this runbook again").ends_with(" --out runbook"));
    assert!(rows.iter().flatten().all(|cell| !cell.contains("`firedrill run")), "{rows:#?}");
}

#[test]
fn each_step_says_which_rows_it_comes_after_and_together_with() {
    let rows = timeline(&runbook(&[AWS]));
    let number = |id: &str| row(&rows, &format!(", `{id}`:"))[0].clone();
    let when = |id: &str| row(&rows, &format!(", `{id}`:"))[1].clone();
    let baseline = row(&rows, "watches the baseline")[0].clone();
    assert!(when("west-grows").ends_with(&format!(", after row {baseline}, together with row {}", number("nothing-launches"))), "{rows:#?}");
    let [first, stopped, cut, denied] = ["nothing-launches", "instances-stopped", "subnets-cut-off", "iam-denied"].map(number);
    assert!(when("iam-denied").ends_with(&format!(", after row {first}, together with rows {stopped} and {cut}")), "{rows:#?}");
    let before = [number("west-grows"), stopped, cut, denied];
    assert!(when("traffic-west").ends_with(&format!(", after rows {}, {}, {} and {}", before[0], before[1], before[2], before[3])), "{rows:#?}");
    // Capacity that is asked for moves nobody.
    assert!(row(&rows, ", `west-grows`:")[3].contains("ask for capacity") && !row(&rows, ", `west-grows`:")[4].contains("users"), "{rows:#?}");
    assert!(row(&rows, ", `traffic-west`:")[3].contains("move traffic"), "{rows:#?}");
}

#[test]
fn a_step_that_the_drill_names_before_those_it_waits_for_comes_after_them() {
    let dir = tempfile::tempdir().unwrap();
    let shipped = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/drills/kubernetes/evacuate-nodes.yaml")).unwrap();
    let at = shipped.find("    - id: west-takes-over").unwrap();
    let middle = shipped.find("    - id: nodes-drained").unwrap();
    let end = shipped.find("\n  limits:").unwrap();
    let file = dir.path().join("drill.yaml");
    std::fs::write(&file, format!("{}{}\n{}{}", &shipped[..at], &shipped[middle..end], &shipped[at..middle], &shipped[end..])).unwrap();
    let rows = timeline(&printed(dir.path(), &["runbook", file.to_str().unwrap()]));
    let number = |id: &str| row(&rows, &format!(", `{id}`:"))[0].parse::<usize>().unwrap();
    assert!(number("west-takes-over") < number("nodes-drained"), "{rows:#?}");
    assert!(row(&rows, ", `nodes-drained`:")[1].ends_with(&format!(", after row {}", number("west-takes-over"))), "{rows:#?}");
}

#[test]
fn the_card_stops_at_an_unticked_box_and_at_the_gate() {
    let text = runbook(&[FAIL_BACK]);
    let card = part(&text, "Abort card");
    let order = [
        "**If firedrill is dead:** endpoints-dark ends by itself, shortly after the time above",
        "Comms sends announcement A7",
        "**Ctrl-C once** in its terminal (“stay” was said: until two are pressed there, never a third); from another one, in its working folder: `firedrill abort latest --wait`",
        "It died, its machine lives: there `firedrill resume latest`",
        "Only steps that have begun, by the scribe: strike the others through; in doubt it has begun",
        "leave out what else the same target has, go on with the next target, leave the box unticked",
        "Never go past “healthy?” while a box above it is unticked",
        "### First",
        "### Then",
        "Do not type the lines below “Last”, nor `firedrill resume latest`, until the incident commander says “go on”",
        "Comms sends announcement A9",
        "### Last",
        "once every box is ticked: announcement A6",
        "When firedrill works again: `firedrill resume latest`",
    ];
    let places: Vec<usize> = order.iter().map(|said| card.find(said).unwrap_or_else(|| panic!("{said}: {card}"))).collect();
    assert!(places.is_sorted(), "{places:?}: {card}");
    for line in [
        "Run: \\_",
        "firedrill undoes from: \\_",
        "Channel: \\_",
        "Phone of the incident commander: \\_",
        "Machine of the run, and its folder: \\_",
        "Second machine, and its folder: \\_",
    ] {
        assert!(card.contains(line), "{line}: {card}");
    }
    assert!(
        part(&runbook(&[FAIL_BACK, "--start", "2036-12-09T10:00Z"]), "Abort card")
            .contains("firedrill undoes from: **10:05:03 UTC** (5m after the first change)")
    );
}

#[test]
fn what_is_not_ready_stands_in_red_on_the_card_and_on_the_checklist() {
    let text = runbook(&[AWS]);
    let blank = Regex::new("<[a-z][^<>]*>").unwrap();
    let card = blocks(&text, "## Abort card");
    let blanks: std::collections::BTreeSet<&str> =
        card.iter().flat_map(|(_, lines)| lines).flat_map(|line| blank.find_iter(line)).map(|found| found.as_str()).collect();
    assert!(blanks.len() > 4, "{blanks:?}");
    let told = format!("NOT READY: {} blanks to fill in, 1 step without commands", blanks.len());
    assert!(part(&text, "Abort card").contains(&told), "{told}: {}", part(&text, "Abort card"));
    assert!(part(&text, "Go or no-go").contains(&format!("the abort card is {told}")), "{}", part(&text, "Go or no-go"));
    assert!(runbook(&[AWS, "--format", "html"]).contains(&format!("<p class=\"missing\">{told}</p>")));
    let ready = runbook(&[FAIL_BACK, "--env", "sandbox"]);
    assert!(!part(&ready, "Abort card").contains("NOT READY"), "{ready}");
    assert!(part(&ready, "Go or no-go").contains("the abort card does not say NOT READY"), "{ready}");
}

#[test]
fn a_run_s_own_names_are_found_by_what_the_card_says_of_them() {
    let text = runbook(&[AWS]);
    let card = part(&text, "Abort card");
    assert!(card.contains("**iam-denied** (awsIamDeny) ① of a run: `firedrill-RUN-iam-denied`"), "{card}");
    assert!(card.contains("type the run's id where the commands have") && card.contains("look for names that begin and end like that"), "{card}");
    // Said of a policy, whose name IAM keeps as it is written.
    assert!(commands(&text, "## Abort card").concat().contains("--policy-name firedrill-by-hand-iam-denied"), "{card}");
}

#[test]
fn who_is_at_the_keyboard_of_a_gateway_is_told_in_plain_words() {
    let text = runbook(&[FAIL_BACK]);
    assert!(part(&text, "Abort card").contains("This one needs firedrill itself, on the gateway's own host"));
    assert!(!part(&runbook(&[AWS]), "Abort card").contains("gateway"));
}

#[test]
fn the_way_on_is_there_when_the_machine_of_the_run_dies() {
    let text = runbook(&["drills/kubernetes/evacuate-nodes.yaml", "--start", "2036-12-09T10:00Z"]);
    let sweep = "`firedrill sweep --env '<environment>'`";
    let rows = timeline(&text);
    let card = row(&rows, "makes this run's own card");
    assert!(card.iter().any(|cell| cell.contains(&format!("on the second machine {sweep}"))), "{card:?}");
    let glass = part(&text, "Break glass");
    let order = [
        "in the working folder, the drill lead types `firedrill resume latest`",
        "not back two minutes after “keyboard lost”, or it reaches nothing: switch it off, and see to it that it stays off",
        &format!("on the second machine, in its folder, the scribe types {sweep}"),
        "--drill drills/kubernetes/evacuate-nodes.yaml --apply`",
    ];
    let places: Vec<usize> = order.iter().map(|said| glass.find(said).unwrap_or_else(|| panic!("{said}: {glass}"))).collect();
    assert!(places.is_sorted(), "{glass}");
    // A line for each place that the drill changes, with room for who opens it.
    for cluster in ["east", "west"] {
        assert!(glass.contains(&format!("- cluster `{cluster}`: context `<context of cluster {cluster}>`. Who: \\_")), "{glass}");
    }
    for line in ["Machine of the run: \\_", "Working folder: \\_", "Second machine, and its folder, with firedrill, the files and credentials: \\_"] {
        assert!(text.contains(line), "{line}");
    }
    assert!(part(&text, "Go or no-go").contains("credentials valid until at least 11:12:44 UTC"), "{}", part(&text, "Go or no-go"));
    // An embedded sandbox has no second machine.
    let embedded = runbook(&[FAIL_BACK, "--env", "sandbox"]);
    assert!(!embedded.contains("firedrill sweep") && embedded.contains("the sandbox died with it"), "{embedded}");
}

#[test]
fn whoever_stops_is_told_how_to_stay_evacuated_also_when_firedrill_died() {
    let text = runbook(&["drills/kubernetes/evacuate-nodes.yaml"]);
    let stop = part(&text, "Stop");
    assert!(stop.contains("the incident commander says at once “stay” or “come home”") && stop.contains("until two are pressed there"), "{stop}");
    // Without the drill's file there is no gate that would let the actions go back.
    let stay = "`firedrill sweep --env '<environment>' --apply`";
    for heading in ["Break glass", "How it ended", "Abort card"] {
        let said = part(&text, heading).lines().find(|line| line.contains(stay)).map(str::to_owned);
        assert!(
            said.as_ref().is_some_and(|line| line.to_lowercase().contains("“stay” was said") && line.contains("leaves the actions")),
            "{heading}: {said:?}"
        );
    }
    // Nothing to come home from.
    let plain = runbook(&["drills/sandbox/iam-fails.yaml"]);
    assert!(!plain.contains("“stay”") && !plain.contains("“Stay”"), "{plain}");
}

#[test]
fn a_line_that_nobody_can_tick_before_the_start_says_so() {
    assert!(part(&runbook(&[FAIL_BACK]), "Go or no-go").contains("(`orders` only once the run has an id: in the baseline)"));
    assert!(!part(&runbook(&["drills/kubernetes/evacuate-nodes.yaml"]), "Go or no-go").contains("once the run has an id"));
}

#[test]
fn stopping_is_told_with_its_second_and_third_signal_and_red_is_no_reason() {
    let text = runbook(&[FAIL_BACK]);
    let stop = part(&text, "Stop");
    for said in [
        "Red is a result, not a stop",
        "the drill lead stops it at once",
        "**A second Ctrl-C** only when the incident commander says so",
        "exit 7",
        "**A third**",
        "announcement A7",
        "Does it undo already, the first Ctrl-C changes nothing",
        "**Neither works,** or firedrill says nothing while it lifts: no new line for fifteen minutes",
        "but one in us-west-2 is “come home”",
    ] {
        assert!(stop.contains(said), "{said}: {stop}");
    }
    let announcements = part(&text, "Announcements");
    assert!(
        announcements.contains("does not take place: \\<reason\\>") && announcements.contains("evacuated and safe, not back yet"),
        "{announcements}"
    );
}

#[test]
fn what_detects_must_be_quiet_before_the_fault() {
    let text = runbook(&[FAIL_BACK]);
    assert!(part(&text, "Go or no-go").contains("every objective is good now, and `evacuated` is quiet before the fault"), "{text}");
    let objectives = part(&text, "Objectives");
    assert!(objectives.contains("quiet before the fault, then fires within 5 s of the first fault (MTTD)"), "{objectives}");
    assert!(objectives.contains("**Good** is: quiet before the fault, firing after it. It fires when the result is not empty"), "{objectives}");
    // The gate is read by hand like an objective.
    assert!(objectives.contains("### The gate: is us-east-1 healthy?") && !commands(&text, "### The gate").is_empty(), "{objectives}");
}

#[test]
fn texts_for_users_say_of_data_only_what_the_drill_measures() {
    let measured = runbook(&[FAIL_BACK]);
    assert!(part(&measured, "Texts to prepare").contains("Only while orders is good: Data that we confirmed to you is safe."), "{measured}");
    let unmeasured = runbook(&[AWS]);
    let texts = part(&unmeasured, "Texts to prepare");
    assert!(!texts.contains("safe") && !texts.contains("confirmed") && texts.contains("does not measure whether any is lost"), "{texts}");
}

#[test]
fn a_long_command_is_broken_where_a_shell_puts_it_together_again() {
    for words in [&[AWS][..], &["tests/fixtures/every-kind.yaml"], &["drills/kubernetes/evacuate-nodes.yaml"]] {
        let text = runbook(words);
        for (_, lines) in blocks(&text, "#") {
            assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS), "{lines:#?}");
            // A line that is not the last of its command says so.
            let done = std::process::Command::new("/bin/sh").args(["-n", "-c", &lines.join("\n")]).output().unwrap();
            assert!(done.status.success(), "{}\n{}", lines.join("\n"), String::from_utf8_lossy(&done.stderr));
        }
        assert!(commands(&text, "#").iter().any(|line| line.ends_with(" \\")), "{words:?}");
    }
}
