//! `firedrill completions`: what a shell needs to complete firedrill's commands and flags.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::listing::print;
use super::{Cli, Context};
use crate::exit::Exit;

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Install them for yourself:
  bash        firedrill completions bash > ~/.local/share/bash-completion/completions/firedrill
  zsh         firedrill completions zsh > \"${fpath[1]}/_firedrill\"
  fish        firedrill completions fish > ~/.config/fish/completions/firedrill.fish
  elvish      firedrill completions elvish >> ~/.config/elvish/rc.elv
  powershell  firedrill completions powershell >> $PROFILE
and open a new shell. Only for the shell at hand: source <(firedrill completions bash)")]
pub struct Completions {
    /// Which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Runs the command.
pub async fn run(_context: &Context, args: Completions) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "firedrill", &mut script);
    print(&String::from_utf8_lossy(&script));
    Exit::Passed
}
