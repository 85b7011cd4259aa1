//! The `firedrill` binary: parses flags, maps the result to an exit code.

use std::process::ExitCode;

use clap::Parser;
use firedrill::{cli, exit::Exit};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
        // On a worker: what runs on the thread of `block_on` is woken from outside for every answer.
        Ok(runtime) => match runtime.block_on(runtime.spawn(cli::main(cli))) {
            Ok(exit) => exit.into(),
            // It panicked, and the panic has been told.
            Err(_) => Exit::Internal.into(),
        },
        Err(error) => {
            eprintln!("firedrill: cannot start: {error}");
            Exit::Internal.into()
        }
    }
}
