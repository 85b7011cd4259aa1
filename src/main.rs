//! The `firedrill` binary: parses flags, maps the result to an exit code.

use std::process::ExitCode;

use clap::Parser;
use firedrill::{cli, exit::Exit};

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Passed };
            // A closed output is no reason for another exit code.
            let _ = error.print();
            return code.into();
        }
    };
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli::main(cli)).into(),
        Err(error) => {
            eprintln!("firedrill: cannot start: {error}");
            Exit::Internal.into()
        }
    }
}
