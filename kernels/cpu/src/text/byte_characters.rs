//! GPT-2's way to write bytes as characters (openai/gpt-2, encoder.py, `bytes_to_unicode`): printable
//! ones stand for themselves, the others are numbered from U+0100 on.

use alloc::vec::Vec;

/// Bytes there are, each with a character of its own.
const BYTES: usize = 256;
/// Characters below this may stand for bytes.
const CHARACTERS: usize = 0x144;
/// Stands for no byte.
const NO_BYTE: u16 = 256;

static BYTE_OF_CHARACTER: [u16; CHARACTERS] = bytes();

const fn bytes() -> [u16; CHARACTERS] {
    let mut table = [NO_BYTE; CHARACTERS];
    let (mut byte, mut next) = (0, BYTES);
    while byte < BYTES {
        let printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let character = if printable { byte } else { next };
        next += !printable as usize;
        table[character] = byte as u16;
        byte += 1;
    }
    table
}

/// Appends the bytes that a text's characters stand for, or nothing if one stands for none.
pub fn push_bytes(text: &[u8], out: &mut Vec<u8>) {
    let before = out.len();
    let mut at = 0;
    while at < text.len() {
        let lead = text[at] as usize;
        let (character, len) = match text.get(at + 1) {
            _ if lead < 0x80 => (lead, 1),
            // Every character of the table has one byte or two.
            Some(&second) if lead & 0xe0 == 0xc0 => ((lead & 31) << 6 | second as usize & 63, 2),
            _ => (CHARACTERS, 1),
        };
        match BYTE_OF_CHARACTER.get(character) {
            Some(&byte) if byte != NO_BYTE => out.push(byte as u8),
            _ => return out.truncate(before),
        }
        at += len;
    }
}
