//! Why something failed: the errors behind an error.

use std::error::Error;

/// An error, and what caused it, from the outside in.
pub fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// What an error and its causes say, each once: the last say what happened, the first only that something did.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for text in sources(error).map(ToString::to_string) {
        // Wrappers repeat what they wrap.
        if !said.iter().any(|earlier| earlier.contains(&text)) {
            said.push(text);
        }
    }
    said.join(": ")
}

/// Whether a request cannot have reached the server: no connection was made.
#[must_use]
pub fn never_sent(error: &(dyn Error + 'static)) -> bool {
    use hyper_util::client::legacy::Error as Failure;
    sources(error).any(|error| error.downcast_ref::<Failure>().is_some_and(Failure::is_connect))
}
