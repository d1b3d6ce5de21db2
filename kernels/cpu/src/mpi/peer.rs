//! A connection that is watched: frames in both directions, and when it was last heard of.

use core::ffi::{c_int, c_short};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use super::frames::Frame;

#[repr(C)]
struct PollFile {
    file: c_int,
    events: c_short,
    found: c_short,
}

unsafe extern "C" {
    fn poll(files: *mut PollFile, count: usize, milliseconds: c_int) -> c_int;
}

const READABLE: c_short = 1;

/// What became of a connection in one look.
pub enum Seen {
    Frames(Vec<Frame>),
    /// Its other end is closed, or said what nobody says; the frames came before that.
    Gone(Vec<Frame>),
}

/// One rank at the other end of a connection.
pub struct Peer {
    pub rank: usize,
    pub heard: Instant,
    stream: TcpStream,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

impl Peer {
    pub fn new(rank: usize, stream: TcpStream) -> std::io::Result<Peer> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let heard = Instant::now();
        Ok(Peer {
            rank,
            heard,
            stream,
            inbox: Vec::new(),
            outbox: Vec::new(),
        })
    }

    /// Reads what has come.
    pub fn read(&mut self) -> Seen {
        let mut buffer = [0; 4096];
        let mut gone = loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break true,
                Ok(count) => {
                    self.heard = Instant::now();
                    self.inbox.extend(&buffer[..count]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break error.kind() != ErrorKind::WouldBlock,
            }
        };
        let mut frames = Vec::new();
        loop {
            match Frame::take(&mut self.inbox) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(()) => {
                    gone = true;
                    break;
                }
            }
        }
        if gone {
            Seen::Gone(frames)
        } else {
            Seen::Frames(frames)
        }
    }

    /// Queues a frame and sends what can be sent at once; a closed end is noticed in reading.
    pub fn say(&mut self, frame: &Frame) {
        self.outbox.extend(frame.encode());
        self.flush();
    }

    /// Sends what can be sent at once.
    pub fn flush(&mut self) {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(count) if count > 0 => drop(self.outbox.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }
}

/// Waits until one of these can be read, at most so long.
pub fn wait_for_any(peers: &[Peer], at_most: Duration) {
    let mut files: Vec<PollFile> = peers
        .iter()
        .map(|peer| PollFile {
            file: peer.stream.as_raw_fd(),
            events: READABLE,
            found: 0,
        })
        .collect();
    unsafe {
        poll(
            files.as_mut_ptr(),
            files.len(),
            at_most.as_millis() as c_int,
        )
    };
}
