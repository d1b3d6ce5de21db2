//! What ranks tell one another beside MPI: a kind, a rank, and a text with its length before it.

/// One thing that a rank says.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// "I live."
    Beat,
    /// "This rank ends, and all is well with it."
    Goodbye(u32),
    /// "The work has ended; this rank is at fault, for this reason."
    Verdict(u32, String),
}

const HEAD_BYTES: usize = 9;
/// Longer texts are cut: a reason is a sentence.
const MOST_TEXT: usize = 4096;

/// The start of a text, cut where a character begins.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MOST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl Frame {
    pub fn encode(&self) -> Vec<u8> {
        let (kind, rank, text) = match self {
            Frame::Beat => (0u8, 0, ""),
            Frame::Goodbye(rank) => (1, *rank, ""),
            Frame::Verdict(rank, reason) => (2, *rank, cut(reason)),
        };
        let mut bytes = vec![kind];
        bytes.extend(rank.to_le_bytes());
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes
    }

    /// Takes the first whole frame off; `Err` for bytes that are none.
    pub fn take(bytes: &mut Vec<u8>) -> Result<Option<Frame>, ()> {
        if bytes.len() < HEAD_BYTES {
            return Ok(None);
        }
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let (kind, rank, length) = (bytes[0], word(1), word(5) as usize);
        if kind > 2 || length > MOST_TEXT {
            return Err(());
        }
        if bytes.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&bytes[HEAD_BYTES..HEAD_BYTES + length]).into_owned();
        bytes.drain(..HEAD_BYTES + length);
        Ok(Some(match kind {
            0 => Frame::Beat,
            1 => Frame::Goodbye(rank),
            _ => Frame::Verdict(rank, text),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_in_their_order_from_any_cut() {
        let sent = [
            Frame::Beat,
            Frame::Goodbye(7),
            Frame::Verdict(70_000, String::from("rank 70000 is gone: é")),
        ];
        let stream: Vec<u8> = sent.iter().flat_map(Frame::encode).collect();
        for step in 1..=stream.len() {
            let (mut bytes, mut found) = (Vec::new(), Vec::new());
            for part in stream.chunks(step) {
                bytes.extend(part);
                while let Some(frame) = Frame::take(&mut bytes).unwrap() {
                    found.push(frame);
                }
            }
            assert_eq!(found, sent);
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn long_reasons_are_cut_between_characters() {
        let mut bytes = Frame::Verdict(1, "é".repeat(4000)).encode();
        let Ok(Some(Frame::Verdict(1, reason))) = Frame::take(&mut bytes) else {
            panic!()
        };
        assert_eq!(reason, "é".repeat(2048));
    }

    #[test]
    fn bytes_that_are_no_frame_are_refused() {
        assert_eq!(Frame::take(&mut vec![9; 9]), Err(()));
        assert_eq!(
            Frame::take(&mut vec![2, 0, 0, 0, 0, 255, 255, 255, 255]),
            Err(())
        );
        assert_eq!(Frame::take(&mut vec![9; 8]), Ok(None));
    }
}
