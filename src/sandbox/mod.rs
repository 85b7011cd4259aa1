//! The embedded default: two regions on loopback, real sockets, real failure. Nothing in it knows that a drill is on.
