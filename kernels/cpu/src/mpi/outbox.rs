//! What is on its way to other ranks: cut into pieces that MPI sends off without asking, a window of
//! them at a time.
//!
//! Longer messages go by rendezvous: the receiver answers that it has room, and its answer queues
//! behind all that it sends itself. Two ranks that both send much then take turns on a link that
//! carries both directions at once (measured, Open MPI 4.1 over TCP: half of the rate). Pieces below
//! the limit of eager messages, 64 KiB over TCP, need no answer.

use std::collections::VecDeque;

use super::library::{Library, Request};
use super::link::Parcel;

/// Bytes of a piece: MPI's own envelope fits beside it within 64 KiB.
const PIECE_BYTES: usize = 60 << 10;
/// Bytes that MPI is given at once for one rank: more than a fast link takes between two looks.
const WINDOW_BYTES: usize = 4 << 20;

struct Piece {
    request: Request,
    bytes: usize,
}

struct Sending {
    bytes: Vec<u8>,
    tag: i32,
    /// Bytes that MPI was given.
    given: usize,
    /// Whether MPI was given all, which for an empty message is one piece.
    all_given: bool,
    pieces: VecDeque<Piece>,
}

/// Messages for one rank, in their order.
#[derive(Default)]
pub struct Outbox {
    to: usize,
    sending: VecDeque<Sending>,
    /// Bytes that MPI has and has not sent.
    in_flight: usize,
}

impl Outbox {
    pub fn new(to: usize) -> Outbox {
        Outbox {
            to,
            ..Outbox::default()
        }
    }

    /// The rank.
    pub fn to(&self) -> usize {
        self.to
    }

    pub fn is_empty(&self) -> bool {
        self.sending.is_empty()
    }

    pub fn put(&mut self, Parcel { bytes, .. }: Parcel, tag: i32) {
        self.sending.push_back(Sending {
            bytes,
            tag,
            given: 0,
            all_given: false,
            pieces: VecDeque::new(),
        });
    }

    /// Gives MPI what the window has room for; says whether that was anything.
    pub fn give(&mut self, library: &Library) -> Result<bool, String> {
        let mut given = false;
        for sending in self.sending.iter_mut().filter(|sending| !sending.all_given) {
            while !sending.all_given {
                if self.in_flight >= WINDOW_BYTES {
                    return Ok(given);
                }
                let start = sending.given;
                let end = sending.bytes.len().min(start + PIECE_BYTES);
                // Safety: the bytes stay where they are until MPI has sent them: see `settle`.
                let request =
                    unsafe { library.send(&sending.bytes[start..end], self.to, sending.tag) }?;
                let bytes = end - start;
                sending.pieces.push_back(Piece { request, bytes });
                sending.given = end;
                sending.all_given = end == sending.bytes.len();
                self.in_flight += bytes;
                given = true;
            }
        }
        Ok(given)
    }

    /// Lets go of what MPI has sent; returns the bytes of messages that are sent whole, if any are.
    pub fn settle(&mut self, library: &Library) -> Result<Option<usize>, String> {
        let mut gone = None;
        while let Some(sending) = self.sending.front_mut() {
            while let Some(piece) = sending.pieces.front_mut() {
                if !library.test(&mut piece.request)? {
                    return Ok(gone);
                }
                self.in_flight -= piece.bytes;
                sending.pieces.pop_front();
            }
            if !sending.all_given {
                return Ok(gone);
            }
            *gone.get_or_insert(0) += sending.bytes.len();
            self.sending.pop_front();
        }
        Ok(gone)
    }
}
