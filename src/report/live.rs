//! The view of a run while it is on: on a terminal a picture that breathes, elsewhere timestamped lines; always on standard error.
//!
//! The sink only hands events to a thread of its own. A terminal that takes no output (Ctrl-S, a stuck pipe) therefore never holds up the run or its undo.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::Sink;
use super::frame::{Canvas, frame};
use super::story::Story;
use super::tell::Teller;
use crate::clock::{Clock, Timestamp};
use crate::event::{Event, RunEvent};

/// Time between two pictures.
const REDRAW: Duration = Duration::from_millis(200);
/// Longest that the end of a run waits for a slow terminal.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The live view.
///
/// [`Sink::event`] returns an error once its output is gone (a closed terminal or pipe); the caller then drops the sink.
#[derive(Debug)]
pub struct Live {
    to: Option<Sender<RunEvent>>,
    done: Receiver<io::Result<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    /// The view that fits standard error: a picture on a terminal, lines elsewhere or with `TERM=dumb`. `NO_COLOR` takes the colours away. `past` is what
    /// is known of the run already.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn on_stderr(clock: Clock, past: Story) -> io::Result<Self> {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if io::stderr().is_terminal() && !dumb {
            let terminal = Term::stderr();
            let size = terminal.clone();
            let target = ProgressDrawTarget::term(terminal, 10);
            Self::spawn(clock, Box::new(Picture::new(target, Box::new(move || size.size()), !set("NO_COLOR"), past)))
        } else {
            Self::lines_after(clock, Box::new(io::stderr()), past)
        }
    }

    /// Lines, on any output.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn lines(clock: Clock, out: Box<dyn Write + Send>) -> io::Result<Self> {
        Self::lines_after(clock, out, Story::default())
    }

    /// Lines of a run that goes on.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn lines_after(clock: Clock, out: Box<dyn Write + Send>, past: Story) -> io::Result<Self> {
        Self::spawn(clock, Box::new(Lines { out, teller: Teller::after(past) }))
    }

    /// The picture, on any terminal.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn picture(clock: Clock, terminal: Box<dyn TermLike>, colour: bool) -> io::Result<Self> {
        let size = (terminal.height(), terminal.width());
        Self::spawn(clock, Box::new(Picture::new(ProgressDrawTarget::term_like(terminal), Box::new(move || size), colour, Story::default())))
    }

    fn spawn(clock: Clock, mut view: Box<dyn View>) -> io::Result<Self> {
        let (to, events) = mpsc::channel();
        let (tell, done) = mpsc::channel();
        let thread = std::thread::Builder::new().name("live view".into()).spawn(move || {
            // The receiver is gone only when nobody waits for the answer any more.
            let _ = tell.send(follow(view.as_mut(), &events, clock));
        })?;
        Ok(Self { to: Some(to), done, thread: Some(thread) })
    }

    fn failure(&self) -> io::Error {
        match self.done.try_recv() {
            Ok(Err(error)) => error,
            _ => io::ErrorKind::BrokenPipe.into(),
        }
    }
}

impl Sink for Live {
    fn event(&mut self, event: &RunEvent) -> io::Result<()> {
        if self.to.as_ref().is_some_and(|to| to.send(event.clone()).is_ok()) { Ok(()) } else { Err(self.failure()) }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.to = None;
        let answer = self.done.recv_timeout(LAST_WORDS);
        match (answer, self.thread.take()) {
            (Ok(result), thread) => {
                // It has sent its answer: there is nothing left to wait for.
                let _ = thread.map(JoinHandle::join);
                result
            }
            (Err(RecvTimeoutError::Timeout), _) => Err(io::Error::new(io::ErrorKind::TimedOut, "the terminal takes no output")),
            (Err(RecvTimeoutError::Disconnected), _) => Ok(()),
        }
    }
}

/// What the thread draws on.
trait View: Send {
    fn event(&mut self, event: &RunEvent) -> io::Result<()>;
    fn tick(&mut self, now: Timestamp) -> io::Result<()>;
    fn finish(&mut self) -> io::Result<()>;
}

fn follow(view: &mut dyn View, events: &Receiver<RunEvent>, clock: Clock) -> io::Result<()> {
    let mut drawn = Instant::now();
    loop {
        match events.recv_timeout(REDRAW.saturating_sub(drawn.elapsed())) {
            Ok(event) => view.event(&event)?,
            Err(RecvTimeoutError::Timeout) => {
                view.tick(clock.now())?;
                drawn = Instant::now();
            }
            Err(RecvTimeoutError::Disconnected) => return view.finish(),
        }
    }
}

struct Lines {
    out: Box<dyn Write + Send>,
    teller: Teller,
}

impl Lines {
    fn write(&mut self, lines: &[String]) -> io::Result<()> {
        for line in lines {
            writeln!(self.out, "{line}")?;
        }
        if lines.is_empty() { Ok(()) } else { self.out.flush() }
    }
}

impl View for Lines {
    fn event(&mut self, event: &RunEvent) -> io::Result<()> {
        let lines = self.teller.event(event);
        self.write(&lines)
    }

    fn tick(&mut self, now: Timestamp) -> io::Result<()> {
        let lines = self.teller.tick(now);
        self.write(&lines)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

struct Picture {
    screen: MultiProgress,
    bar: ProgressBar,
    teller: Teller,
    size: Box<dyn Fn() -> (u16, u16) + Send>,
    colour: bool,
}

impl Picture {
    fn new(target: ProgressDrawTarget, size: Box<dyn Fn() -> (u16, u16) + Send>, colour: bool, past: Story) -> Self {
        let screen = MultiProgress::with_draw_target(target);
        let bar = screen.add(ProgressBar::new_spinner());
        // The default style shows a spinner; the frame is the message alone.
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        Self { screen, bar, teller: Teller::after(past), size, colour }
    }

    fn draw(&mut self, now: Timestamp) {
        let (height, width) = (self.size)();
        // A column stays free, since some terminals wrap when the last one is written; a line stays free for the cursor.
        let canvas = Canvas {
            width: usize::from(width).saturating_sub(1).clamp(20, 160),
            height: usize::from(height).saturating_sub(2).max(8),
            colour: self.colour,
        };
        self.bar.set_message(frame(&self.teller.story, now, canvas).join("\n"));
        self.bar.tick();
    }
}

impl View for Picture {
    fn event(&mut self, event: &RunEvent) -> io::Result<()> {
        for line in self.teller.event_without_heartbeat(event) {
            self.screen.println(line)?;
        }
        // Samples come by the hundred: they are drawn with the next tick.
        if !matches!(event.body, Event::Sample(_)) {
            self.draw(event.at);
        }
        Ok(())
    }

    fn tick(&mut self, now: Timestamp) -> io::Result<()> {
        // The frame itself says that the run is alive: no heartbeat lines here.
        self.draw(now);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.bar.finish_and_clear();
        self.screen.clear()
    }
}
