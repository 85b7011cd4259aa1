//! Opens a file in the reader's browser: `$BROWSER`, else the desktop's; says why where there is neither.

use std::path::Path;

/// What decides which browser it is.
#[derive(Debug, Default, Clone)]
struct Desk {
    /// `$BROWSER`: programs separated by colons, tried in turn.
    browser: Option<String>,
    /// A person at the other end of an ssh connection sees no window of this machine.
    ssh: bool,
    display: bool,
}

impl Desk {
    fn here() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Self {
            browser: std::env::var("BROWSER").ok().filter(|value| !value.trim().is_empty()),
            ssh: set("SSH_CONNECTION") || set("SSH_TTY"),
            display: cfg!(any(target_os = "macos", target_os = "windows")) || set("DISPLAY") || set("WAYLAND_DISPLAY"),
        }
    }

    /// The programs of `$BROWSER`, none for the desktop's own, or why there is none.
    fn programs(&self) -> Result<Vec<&str>, String> {
        match &self.browser {
            Some(programs) => Ok(programs.split(':').map(str::trim).filter(|program| !program.is_empty()).collect()),
            None if self.ssh => Err("this is an ssh session, and $BROWSER is not set".into()),
            None if !self.display => Err("there is no display here, and $BROWSER is not set".into()),
            None => Ok(Vec::new()),
        }
    }
}

/// Opens it without waiting for the browser to end; gives what it was opened with.
///
/// # Errors
/// Why no browser was started, as part of a sentence.
pub fn open(file: &Path) -> Result<String, String> {
    let desk = Desk::here();
    let programs = desk.programs()?;
    if programs.is_empty() {
        return open::that_detached(file)
            .map(|()| "the desktop's browser".to_owned())
            .map_err(|error| format!("the desktop's browser does not start: {error}"));
    }
    let mut failed = Vec::new();
    for program in programs {
        match open::with_detached(file, program) {
            Ok(()) => return Ok(format!("$BROWSER '{program}'")),
            Err(error) => failed.push(format!("$BROWSER '{program}' does not start: {error}")),
        }
    }
    Err(failed.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_of_ones_own_comes_first_and_ssh_has_no_window() {
        let desk = |browser: Option<&str>, ssh, display| Desk { browser: browser.map(Into::into), ssh, display };
        assert_eq!(desk(Some("w3m:firefox"), true, false).programs().unwrap(), ["w3m", "firefox"]);
        assert!(desk(None, true, true).programs().unwrap_err().contains("ssh"));
        assert!(desk(None, false, false).programs().unwrap_err().contains("no display"));
        assert_eq!(desk(None, false, true).programs().unwrap(), Vec::<&str>::new());
    }
}
