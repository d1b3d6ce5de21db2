//! Messages between processes over the system's MPI, found when it is asked for.
//!
//! One thread of this library makes every call of MPI (`progress.rs`), so that messages move while
//! the caller computes and a call that hangs hangs nobody else. Another one (`watch.rs`) knows over
//! sockets of its own which ranks still live: MPI may hang, or end without a word, where one dies.
//! The caller only ever waits on a condition with a deadline.

mod addresses;
mod bootstrap;
mod exports;
mod frames;
mod library;
mod link;
mod outbox;
mod peer;
mod progress;
mod watch;
