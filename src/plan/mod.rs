//! What a drill will touch: resolved targets, blast radius, reasons to refuse.
