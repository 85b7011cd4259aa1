//! A Corefile: which server blocks it has, and one block of ours put in and taken out again without touching anything else. Pure.
//!
//! Structure and quoting are those of CoreDNS's caddyfile (`coredns/caddy`, `caddyfile/lexer.go` and `parse.go`): words are parted by white space,
//! `"` at the beginning of a word quotes it, `#` comments the rest of the line out, `{` and `}` count where they are words.

/// A server block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// What it serves, as written: `.:53`, `example.com`, `dns://example.com:1053`.
    pub keys: Vec<String>,
    /// Its directives: the words of each, `{` at the end when a block comes below.
    pub directives: Vec<Vec<String>>,
}

/// What was read of a Corefile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Corefile {
    /// The server blocks. Snippets (`(name) { … }`) are not among them.
    pub servers: Vec<Server>,
    /// Other files that it takes in, at the top or inside a block; nothing is known of them.
    pub imports: Vec<String>,
    /// Directives of its snippets.
    snippets: Vec<Vec<String>>,
}

/// A zone as it is compared: lower case, with its last dot. And its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// `dns`, `tls`, `https`, `grpc`.
    pub transport: String,
    /// `.`, `example.com.`
    pub zone: String,
    /// As written; none is the server's default.
    pub port: Option<String>,
}

impl Key {
    /// Reads a key of a server block (`plugin/normalize.go` of CoreDNS).
    #[must_use]
    pub fn of(text: &str) -> Self {
        let (transport, rest) = text.split_once("://").unwrap_or(("dns", text));
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port.to_owned())),
            _ => (rest, None),
        };
        let mut zone = host.to_ascii_lowercase();
        if !zone.ends_with('.') {
            zone.push('.');
        }
        Self { transport: transport.to_ascii_lowercase(), zone, port }
    }
}

impl Corefile {
    /// Reads a Corefile. `Err`: the line, and why it cannot be read.
    ///
    /// # Errors
    /// What CoreDNS would not take, and the few things that CoreDNS takes and that cannot be added to safely (one server block without braces).
    pub fn parse(text: &str) -> Result<Self, String> {
        Parser { words: words(text)?, at: 0, found: Self::default() }.all()
    }

    /// Whether a change of the file is noticed without a restart.
    #[must_use]
    pub fn reloads(&self) -> bool {
        let directives = self.servers.iter().flat_map(|server| &server.directives).chain(&self.snippets);
        directives.into_iter().any(|words| words.first().is_some_and(|name| name == "reload"))
    }

    /// The server blocks for all names (`.`) by plain DNS, each with the keys that are.
    pub fn roots(&self) -> impl Iterator<Item = (&Server, Vec<Key>)> {
        self.servers.iter().filter_map(|server| {
            let keys: Vec<Key> = server.keys.iter().map(|key| Key::of(key)).filter(|key| key.zone == "." && key.transport == "dns").collect();
            (!keys.is_empty()).then_some((server, keys))
        })
    }

    /// The keys of server blocks that serve a zone.
    #[must_use]
    pub fn serving(&self, zone: &str) -> Vec<&str> {
        let wanted = Key::of(zone).zone;
        self.servers.iter().flat_map(|server| &server.keys).filter(|key| Key::of(key).zone == wanted).map(String::as_str).collect()
    }
}

/// A word, the line that it begins on, and whether it was quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    text: String,
    line: usize,
    quoted: bool,
}

fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut found: Vec<Word> = Vec::new();
    let mut current: Option<Word> = None;
    let mut chars = text.trim_start_matches('\u{feff}').chars();
    let mut line = 1;
    let (mut quoted, mut escaped, mut comment) = (false, false, false);
    for c in chars.by_ref() {
        if quoted {
            let word = current.get_or_insert_with(|| Word { text: String::new(), line, quoted: true });
            match c {
                '\\' if !escaped => escaped = true,
                '"' if !escaped => {
                    quoted = false;
                    found.extend(current.take());
                }
                other => {
                    if escaped && other != '"' {
                        word.text.push('\\');
                    }
                    word.text.push(other);
                    escaped = false;
                }
            }
            line += usize::from(c == '\n');
            continue;
        }
        if c.is_whitespace() {
            if c == '\r' {
                continue;
            }
            // As CoreDNS does: a comment that begins in a word ends at the next white space.
            comment &= c != '\n' && current.is_none();
            line += usize::from(c == '\n');
            found.extend(current.take());
            continue;
        }
        comment |= c == '#';
        if comment {
            continue;
        }
        match (c, &mut current) {
            ('"', None) => {
                quoted = true;
                current = Some(Word { text: String::new(), line, quoted: true });
            }
            (other, Some(word)) => word.text.push(other),
            (other, None) => current = Some(Word { text: other.to_string(), line, quoted: false }),
        }
    }
    if quoted {
        return Err(format!("line {}: a quote is not closed", current.map_or(line, |word| word.line)));
    }
    found.extend(current);
    match found.iter().find(|word| word.quoted && matches!(word.text.as_str(), "{" | "}")) {
        Some(word) => Err(format!("line {}: a quoted brace", word.line)),
        None => Ok(found),
    }
}

struct Parser {
    words: Vec<Word>,
    at: usize,
    found: Corefile,
}

impl Parser {
    fn all(mut self) -> Result<Corefile, String> {
        while let Some(word) = self.words.get(self.at).cloned() {
            if word.text == "import" && !word.quoted {
                self.import();
                continue;
            }
            let keys = self.keys()?;
            let snippet = keys.len() == 1 && keys[0].starts_with('(') && keys[0].ends_with(')');
            let directives = self.block(word.line)?;
            if snippet {
                self.found.snippets.extend(directives);
            } else {
                self.found.servers.push(Server { keys, directives });
            }
        }
        Ok(self.found)
    }

    /// `import PATH` or `import SNIPPET`, to the end of its line.
    fn import(&mut self) {
        let line = self.words[self.at].line;
        self.at += 1;
        while let Some(word) = self.words.get(self.at).filter(|word| word.line == line) {
            self.found.imports.push(word.text.clone());
            self.at += 1;
        }
    }

    /// The keys in front of a brace; a comma at the end of one says that another comes, be it on the next line.
    fn keys(&mut self) -> Result<Vec<String>, String> {
        let mut keys = Vec::new();
        let mut another = false;
        let mut line = self.words[self.at].line;
        while let Some(word) = self.words.get(self.at) {
            if word.text == "{" {
                self.at += 1;
                if keys.is_empty() {
                    return Err(format!("line {}: a block that serves nothing", word.line));
                }
                return Ok(keys);
            }
            if word.text == "}" {
                return Err(format!("line {}: a brace closes nothing", word.line));
            }
            if word.line != line && !another {
                return Err(format!("line {line}: a server block without braces; write '{} {{ … }}'", keys.join(" ")));
            }
            another = word.text.ends_with(',');
            keys.extend(Some(word.text.trim_end_matches(',').to_owned()).filter(|key| !key.is_empty()));
            line = word.line;
            self.at += 1;
        }
        Err(format!("line {line}: '{}' has no block", keys.join(" ")))
    }

    /// Directives up to the brace that closes the block.
    fn block(&mut self, begun: usize) -> Result<Vec<Vec<String>>, String> {
        let mut directives: Vec<Vec<String>> = Vec::new();
        let mut depth = 1;
        let mut last_line = 0;
        while let Some(word) = self.words.get(self.at).cloned() {
            match word.text.as_str() {
                "}" => depth -= 1,
                "{" => {
                    if let Some(words) = directives.last_mut().filter(|_| depth == 1) {
                        words.push("{".to_owned());
                    }
                    depth += 1;
                }
                text if depth == 1 => {
                    if word.line != last_line {
                        directives.push(Vec::new());
                    }
                    if let Some(words) = directives.last_mut() {
                        words.push(text.to_owned());
                    }
                    last_line = word.line;
                }
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                let imports = directives.iter().filter(|words| words[0] == "import").flat_map(|words| words[1..].to_vec());
                self.found.imports.extend(imports);
                return Ok(directives);
            }
        }
        Err(format!("line {begun}: a block is not closed"))
    }
}

/// Line that a block of ours begins with.
fn begin(run: &str, step: &str) -> String {
    format!("# firedrill {run} {step} begin")
}

/// Line that it ends with.
fn end(run: &str, step: &str) -> String {
    format!("# firedrill {run} {step} end")
}

/// What is put at the end of `text`: `servers` between our two lines.
#[must_use]
pub fn addition(text: &str, run: &str, step: &str, servers: &str) -> String {
    let apart = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{apart}{}\n{servers}{}\n", begin(run, step), end(run, step))
}

/// The text without what was added; none when it is not there exactly once, as it was added.
#[must_use]
pub fn without(text: &str, addition: &str) -> Option<String> {
    let (before, after) = text.split_once(addition)?;
    (!addition.is_empty() && !after.contains(addition)).then(|| format!("{before}{after}"))
}

/// Whether one of the two lines of a block is there.
#[must_use]
pub fn has_trace(text: &str, run: &str, step: &str) -> bool {
    text.lines().map(str::trim).any(|line| line == begin(run, step) || line == end(run, step))
}

/// Blocks of firedrill, whole ones: run, step, and the block from its first line to the end of its last.
#[must_use]
pub fn blocks(text: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(offset) = text[from..].find("# firedrill ") {
        let start = from + offset;
        let line = text[start..].lines().next().unwrap_or_default();
        from = start + line.len();
        let words: Vec<&str> = line.split(' ').collect();
        let ["#", "firedrill", run, step, "begin"] = words.as_slice() else { continue };
        let last = format!("{}\n", end(run, step));
        if let Some(length) = text[start..].find(&last) {
            let stop = start + length + last.len();
            found.push(((*run).to_owned(), (*step).to_owned(), text[start..stop].to_owned()));
            from = stop;
        }
    }
    found
}

/// Whether any line is one of firedrill's.
#[must_use]
pub fn touched(text: &str) -> bool {
    text.lines().any(|line| line.trim().starts_with("# firedrill "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As kubeadm installs it.
    const KUBEADM: &str = include_str!("../../../tests/fixtures/Corefile");

    #[test]
    fn the_corefile_of_kubeadm_is_read() {
        let read = Corefile::parse(KUBEADM).unwrap();
        assert_eq!(read.servers.len(), 1);
        let names: Vec<&str> = read.servers[0].directives.iter().map(|words| words[0].as_str()).collect();
        assert_eq!(names, ["errors", "health", "ready", "kubernetes", "prometheus", "forward", "cache", "loop", "reload", "loadbalance"]);
        assert_eq!(read.servers[0].directives[3], ["kubernetes", "cluster.local", "in-addr.arpa", "ip6.arpa", "{"]);
        assert!(read.reloads() && read.imports.is_empty());
        let roots: Vec<_> = read.roots().collect();
        assert_eq!(roots[0].1, [Key { transport: "dns".to_owned(), zone: ".".to_owned(), port: Some("53".to_owned()) }]);
    }

    #[test]
    fn several_blocks_keys_over_lines_snippets_imports_and_comments_are_read() {
        let text = "import custom/*.server\n(common) {\n  errors\n  reload 5s\n}\nexample.com:53,\nEXAMPLE.org # {\n{\n  import common\n  template ANY A {\n    match \"^a\\\"} $\"\n    \
                    answer \"{{ .Name }} 60 IN A 192.0.2.1\"\n  }\n}\ntls://.:853 .:1053 {\n  bind 192.0.2.9\n}\n";
        let read = Corefile::parse(text).unwrap();
        assert_eq!(read.imports, ["custom/*.server", "common"]);
        assert_eq!(read.servers.len(), 2);
        assert_eq!(read.servers[0].keys, ["example.com:53", "EXAMPLE.org"]);
        assert_eq!(read.servers[0].directives[1], ["template", "ANY", "A", "{"]);
        assert_eq!(read.serving("example.org"), ["EXAMPLE.org"]);
        assert_eq!(read.serving("example.net"), Vec::<&str>::new());
        assert!(read.reloads(), "a snippet has it");
        let (server, keys) = read.roots().next().unwrap();
        assert_eq!((keys.len(), keys[0].port.as_deref(), &server.directives[0]), (1, Some("1053"), &vec!["bind".to_owned(), "192.0.2.9".to_owned()]));
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_line() {
        let rows = [
            (".:53 {\n errors\n", "line 1: a block is not closed"),
            (".:53 {\n errors\n}\n}\n", "line 4: a brace closes nothing"),
            ("example.com\nerrors\n", "line 1: a server block without braces"),
            (".:53 {\n log \"x\n}\n", "line 2: a quote is not closed"),
            ("{\n}\n", "line 1: a block that serves nothing"),
            (".:53 {\n log \"{\"\n}\n", "line 2: a quoted brace"),
            (".:53 {\n}\nexample.com", "line 3: 'example.com' has no block"),
        ];
        for (text, why) in rows {
            let error = Corefile::parse(text).unwrap_err();
            assert!(error.starts_with(why), "{text:?}: {error}");
        }
        assert!(!Corefile::parse(".:53 {\n errors\n}\n").unwrap().reloads());
    }

    #[test]
    fn only_our_block_is_taken_out_whatever_else_was_edited() {
        let added = addition(KUBEADM, "01RUN", "dns", "a.example:53 {\n}\n");
        let drilled = format!("{KUBEADM}{added}");
        assert_eq!(without(&drilled, &added).as_deref(), Some(KUBEADM));
        let edited = drilled.replace("cache 30", "cache 60") + "example.com {\n}\n";
        assert_eq!(without(&edited, &added).unwrap(), KUBEADM.replace("cache 30", "cache 60") + "example.com {\n}\n");
        let ours_edited = drilled.replace("a.example:53", "b.example:53");
        assert_eq!(without(&ours_edited, &added), None);
        assert!(has_trace(&ours_edited, "01RUN", "dns") && !has_trace(KUBEADM, "01RUN", "dns") && !has_trace(&drilled, "01RUN", "dn"));
        assert_eq!(without(&format!("{drilled}{added}"), &added), None, "twice is not as it was added");
        assert_eq!(blocks(&drilled), [("01RUN".to_owned(), "dns".to_owned(), added)]);
        assert_eq!(blocks(KUBEADM), []);
        assert!(touched(&drilled) && !touched(KUBEADM));
    }

    proptest! {
        #[test]
        fn taking_the_block_out_restores_the_text_byte_for_byte(text in "(?s).{0,200}", servers in "(?s).{0,80}", by_lines in any::<bool>()) {
            let servers = if by_lines { format!("{}\n", servers.trim_end()) } else { servers };
            let added = addition(&text, "01JRUN", "dns", &servers);
            prop_assume!(!text.contains("# firedrill"));
            prop_assert_eq!(without(&format!("{text}{added}"), &added), Some(text));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "(?s).{0,300}") {
            let _ = Corefile::parse(&text);
            let _ = blocks(&text);
        }

        #[test]
        fn braces_quotes_and_comments_in_any_order_are_read_without_a_panic(text in proptest::collection::vec("(\\{|\\}|\"|#|\n|,|import|a\\.b:53|\\(s\\)|# firedrill r s begin\n|# firedrill r s end\n| )", 0..40)) {
            let text = text.concat();
            let _ = Corefile::parse(&text);
            let _ = blocks(&text);
        }

        #[test]
        fn a_corefile_with_our_block_has_one_server_block_more(keys in proptest::collection::vec("[a-z]{1,8}\\.example", 1..4)) {
            let servers = format!("{} {{\n    template ANY ANY {{\n        rcode NXDOMAIN\n    }}\n}}\n", keys.join(" "));
            let added = addition(KUBEADM, "01JRUN", "dns", &servers);
            let read = Corefile::parse(&format!("{KUBEADM}{added}")).unwrap();
            prop_assert_eq!(read.servers.len(), 2);
            prop_assert_eq!(&read.servers[1].keys, &keys);
        }
    }
}
