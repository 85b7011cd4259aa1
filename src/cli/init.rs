//! `firedrill init`: a drill and an environment to begin with. Asks nothing, overwrites nothing.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::listing::{columns, print, quoted};
use super::schema::{self, Which};
use super::{Context, fail};
use crate::drill::text_of_format;
use crate::exit::Exit;

/// The drill that is written; `NAME` stands for its name, `FILE` for its path.
const DRILL: &str = include_str!("init/drill.yaml");
/// The environment that is written: every kind's example finds its places in it once the commented lines are switched on.
pub const ENVIRONMENT: &str = include_str!("init/environment.yaml");

/// Write a first drill and a first environment, with comments
///
/// Writes NAME.yaml, which runs in the sandbox as it is, environment.yaml, a template for a real place, and firedrill.schema.json, with which editors
/// complete and check both. Asks nothing. A drill that is there is never overwritten; an environment or schema that is there is kept.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  firedrill init
  firedrill init lose-us-east-1 --dir drills")]
pub struct Init {
    /// Name of the drill: lower-case letters, digits and hyphens
    #[arg(default_value = "first-drill")]
    pub name: String,

    /// Folder of the files; made when it is not there
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
}

/// Runs the command.
pub async fn run(_context: &Context, args: Init) -> Exit {
    if let Err(error) = text_of_format("name", &args.name) {
        return fail(Exit::Usage, error);
    }
    if matches!(args.name.as_str(), "environment") {
        return fail(Exit::Usage, "a drill 'environment' would take the environment's file name; choose another name");
    }
    match write(&args) {
        Ok(said) => {
            print(&said);
            Exit::Passed
        }
        Err(error) => fail(Exit::Usage, error),
    }
}

fn write(args: &Init) -> Result<String, String> {
    let there = |path: &Path| shown(path).display().to_string();
    fs::create_dir_all(&args.dir).map_err(|error| format!("cannot make the folder {}: {error}", args.dir.display()))?;
    let drill = args.dir.join(format!("{}.yaml", args.name));
    let environment = args.dir.join("environment.yaml");
    let file = quoted(&there(&drill));
    let text = DRILL.replace("NAME", &args.name).replace("FILE", &file);
    let made = create(&drill, &text).map_err(|error| format!("cannot write {}: {error}", drill.display()))?;
    if !made {
        return Err(format!("{} is there already, and is not overwritten; give another name, or another --dir", there(&drill)));
    }
    let mut said = format!("wrote  {}  the drill\n", there(&drill));
    let others =
        [(&environment, ENVIRONMENT.to_owned(), "where it runs"), (&args.dir.join("firedrill.schema.json"), schema::text(Which::All), "for editors")];
    for (path, text, what) in others {
        let made = create(path, &text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        let verb = if made { "wrote" } else { "kept " };
        let why = if made { "" } else { "; it was there already" };
        said.push_str(&format!("{verb}  {}  {what}{why}\n", there(path)));
    }
    let environment = quoted(&there(&environment));
    let next = [
        (format!("firedrill run {file} --env sandbox"), "do it now, in two regions on loopback; about half a minute"),
        (format!("firedrill validate {file} --env {environment}"), "check both while you edit"),
        (format!("firedrill plan {file} --env {environment}"), "what it would touch, once the file names your places"),
        ("firedrill explain".to_owned(), "what can fail, and what can be measured"),
    ];
    let rows: Vec<Vec<String>> = next.into_iter().map(|(command, why)| vec![format!("  {command}"), why.to_owned()]).collect();
    Ok(format!("{said}\nNext:\n{}", columns(&rows)))
}

/// The path as a person would type it.
fn shown(path: &Path) -> &Path {
    path.strip_prefix(".").unwrap_or(path)
}

/// Writes a new file; false when there is one already. What could not be written whole is not left behind.
fn create(path: &Path, text: &str) -> io::Result<bool> {
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    };
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(path);
    }
    written.map(|()| true)
}
