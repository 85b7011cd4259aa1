//! A drill that wants to be more than a text stays one: in Markdown, in HTML, and in the commands that people paste into a shell.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::paper::commands;
use super::printed;

/// Everything that a shell, a browser, a Markdown reader or a terminal might act on.
const ATTACK: &str = "'; touch owned; echo \"$(touch owned)\" `touch owned` \n```\n# x\ntouch owned\n</pre><script>alert(1)</script><img src=x onerror=alert(1)>\n\n| a | b |\n\n\
    [click](javascript:alert(1)) ![x](http://evil.example/x.png) @everyone \u{1b}[2J\u{202e}gnp.exe {{drill}} {{{drill}}} <!--";

fn drill(into: &Path) -> String {
    let attack = |long: usize| ATTACK.chars().take(long).collect::<String>();
    let document = json!({
        "apiVersion": "firedrill.dev/v1alpha1", "kind": "Drill", "metadata": {"name": "hostile"},
        "spec": {
            "summary": attack(190), "owner": attack(90), "hypothesis": ATTACK, "failedRegion": "us-east-1", "survivingRegions": ["us-west-2"],
            "baseline": "1s", "hold": "1s", "undoBy": "2h",
            "regionHealthy": {"probe": {"http": {"url": "http://127.0.0.1:1/", "expectJson": {"pointer": "/a", "equals": ATTACK}}}, "stableFor": "1s", "limit": "10s"},
            "objectives": [
                {"id": "web", "probe": {"http": {"url": "http://127.0.0.1:1/x", "headers": {"x-a": "'; touch owned; '"}, "expectJson": {"pointer": "/a", "equals": ATTACK}}}, "interval": "1s", "recoverWithin": "10s"},
                {"id": "page", "probe": {"prometheus": {"source": "main", "query": ATTACK, "alive": ATTACK}}, "interval": "1s", "detectWithin": "10s"},
            ],
            "steps": [
                {"id": "asked", "manual": {"role": attack(90), "instruction": ATTACK, "limit": "1m"}},
                {"id": "dark", "fault": {"nodeDrain": {"cluster": "east", "nodes": {"labels": {"a": "b"}}}}},
                {"id": "denied", "fault": {"awsIamDeny": {"account": "main", "roles": {"names": ["r"]}, "actions": ["iam:*"], "regions": []}}},
                {"id": "moved", "action": {"asgScale": {"account": "main", "region": "us-west-2", "group": "w'; touch owned; '", "desired": 2}}},
            ],
        },
    });
    let file = into.join("hostile'; touch owned; '.yaml");
    fs::write(&file, document.to_string()).unwrap();
    file.display().to_string()
}

#[test]
fn a_hostile_drill_is_a_harmless_runbook() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (drill(dir.path()), dir.path().join("out"));
    printed(dir.path(), &["runbook", &file, "--out", out.to_str().unwrap()]);
    for name in ["runbook.html", "abort-card.html"] {
        let html = fs::read_to_string(out.join(name)).unwrap();
        assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("<!--"), "{name}");
        assert!(!html.contains('\u{1b}') && !html.contains('\u{202e}'), "{name}");
        assert!(html.contains("default-src 'none'"), "{name}");
    }
    let escapes = regex::Regex::new(r"\\[!-/:-@\[-`{-~]").unwrap();
    for name in ["runbook.md", "abort-card.md"] {
        let markdown = fs::read_to_string(out.join(name)).unwrap();
        assert!(!markdown.contains('\u{1b}') && !markdown.contains('\u{202e}'), "{name}");
        // What a backslash stands before is no markup.
        let text = escapes.replace_all(&outside_of_code(&markdown), "").into_owned();
        for active in ["<script", "<img", "](", "<!--", "@everyone", "{{"] {
            assert!(!text.replace("](#", "").contains(active), "{name}: {active}: {text}");
        }
        // No block and no heading but the runbook's own.
        assert!(!outside_of_code(&markdown).lines().any(|line| line == "touch owned" || line == "# x" || line == "| a | b |"), "{name}: {markdown}");
    }
}

/// Markdown without code: what is left is read.
fn outside_of_code(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some(open) = rest.find('`') {
        let escaped = rest[..open].ends_with('\\');
        text.push_str(&rest[..open]);
        let length = rest[open..].chars().take_while(|c| *c == '`').count();
        let fence = "`".repeat(length);
        let after = &rest[open + length..];
        let mut runs = after.match_indices(&fence).filter(|(at, _)| {
            let before = after[..*at].ends_with('`');
            !before && !after[at + length..].starts_with('`')
        });
        match runs.next().filter(|_| !escaped) {
            Some((end, _)) => rest = &after[end + length..],
            None => {
                text.push_str(&fence);
                rest = after;
            }
        }
    }
    text + rest
}

#[test]
fn no_command_of_a_hostile_drill_does_anything_that_the_drill_smuggled_in() {
    let dir = tempfile::tempdir().unwrap();
    let markdown = printed(dir.path(), &["runbook", &drill(dir.path())]);
    let all = commands(&markdown, "#");
    assert!(all.iter().any(|line| line.contains("touch owned")), "the attack is in the commands: {all:?}");
    let work = dir.path().join("work");
    fs::create_dir(&work).unwrap();
    // A shell with stand-ins for every program: only what the shell itself would do is left.
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for name in ["kubectl", "aws", "curl", "firedrill", "dig", "xargs"] {
        fs::write(bin.join(name), "#!/bin/sh\nexit 0\n").unwrap();
        let mut allowed = fs::metadata(bin.join(name)).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut allowed, 0o755);
        fs::set_permissions(bin.join(name), allowed).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let inline: Vec<String> = inline_commands(&markdown);
    assert!(inline.iter().any(|line| line.contains("runbook")), "{inline:?}");
    for script in std::iter::once(all.join("\n")).chain(inline) {
        let done = Command::new("/bin/sh").args(["-c", &script]).current_dir(&work).env("PATH", &path).output().unwrap();
        assert!(!work.join("owned").exists(), "{script}");
        assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// Commands of firedrill in the text, as a reader copies them.
fn inline_commands(markdown: &str) -> Vec<String> {
    let code = regex::Regex::new(r"(?:^|[^`])(`+) ?(firedrill .*?[^`]) ?(`+)(?:[^`]|$)").unwrap();
    let found = markdown.lines().flat_map(|line| code.captures_iter(line).map(|one| one[2].replace("\\|", "|")).collect::<Vec<_>>());
    found.collect()
}

#[test]
fn what_looks_like_a_secret_is_nowhere_in_a_runbook() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/drills/sandbox/evacuate-us-east-1.yaml")).unwrap();
    let key = "AKIAIOSFODNN7EXAMPLE";
    let file = dir.path().join("drill.yaml");
    fs::write(&file, text.replace("Checkout survives the loss of us-east-1", &format!("Checkout survives {key}"))).unwrap();
    let output = super::firedrill(dir.path(), &["runbook", file.to_str().unwrap()]);
    let all = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!all.contains(key), "{all}");
}
