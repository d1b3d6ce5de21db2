//! The kernels through which tokenizers are used from outside.

use super::hash::NONE;
use super::lines::Ends;
use super::normalize::Place;
use super::open::Refusal;
use super::tokenizer::{Outcome, Request, SpecialMode, Tokenizer};
use crate::context::{Context, Status, as_address};
use alloc::boxed::Box;
use core::slice::from_raw_parts;

/// Bytes of a tensor that may be empty.
unsafe fn bytes<'a>(start: *const u8, len: usize) -> &'a [u8] {
    if len == 0 {
        &[]
    } else {
        unsafe { from_raw_parts(start, len) }
    }
}

fn special_mode(code: u32) -> Result<SpecialMode, &'static str> {
    match code {
        0 => Ok(SpecialMode::Text),
        1 => Ok(SpecialMode::Parse),
        2 => Ok(SpecialMode::Refuse),
        _ => Err("special is none of 0, 1, 2"),
    }
}

unsafe fn write(out: *mut f64, values: &[f64]) {
    for (i, &value) in values.iter().enumerate() {
        unsafe { *out.add(i) = value };
    }
}

fn outcome(outcome: Outcome) -> [f64; 3] {
    match outcome {
        Outcome::Done(_) => [0.0; 3],
        Outcome::Invalid(at) => [1.0, at as f64, 0.0],
        Outcome::Special(at, id) => [2.0, at as f64, id as f64],
    }
}

/// Compiles a tokenizer.
pub unsafe fn text_open(context: &Context, out: *mut f64, blob: *const u8, len: usize) -> Status {
    let description = unsafe { bytes(blob, len) };
    let result = match Tokenizer::new(description, context.threads()) {
        Ok(tokenizer) => {
            let handle = as_address(Box::into_raw(Box::new(tokenizer))) as f64;
            [handle, 0.0, 0.0, 0.0]
        }
        Err(Refusal::Text(text)) => return Err(text),
        Err(Refusal::Duplicate(a, b)) => [0.0, 1.0, a as f64, b as f64],
        Err(Refusal::MissingByte(byte)) => [0.0, 2.0, byte as f64, 0.0],
        Err(Refusal::MissingPiece(merge, which)) => [0.0, 3.0, merge as f64, which as f64],
    };
    unsafe { write(out, &result) };
    Ok(())
}

/// Encodes the beginning of a text on other threads.
pub unsafe fn text_begin(
    context: &Context,
    handle: *mut u8,
    text: *const u8,
    len: usize,
    most: usize,
    special: u32,
) -> Status {
    let tokenizer: *mut Tokenizer = handle.cast();
    if len == 0 {
        unsafe { &mut *tokenizer }.drop_begun(context.pool());
        return Ok(());
    }
    let request = Request {
        special: special_mode(special)?,
        replace: false,
        streaming: false,
        place: Place::default(),
    };
    unsafe { Tokenizer::begin(tokenizer, (text, len, most), request, context.pool()) };
    Ok(())
}

/// Encodes a batch of texts.
pub unsafe fn text_encode(
    context: &Context,
    out: *mut f64,
    handle: *mut u8,
    text: *const u8,
    ends: *const u32,
    len: usize,
    texts: u32,
    special: u32,
    replace: u32,
) -> Status {
    let parallel =
        |tasks: usize, work: &(dyn Fn(usize, usize) + Sync)| context.share_out(tasks, work);
    let tokenizer: *mut Tokenizer = handle.cast();
    if unsafe { (*tokenizer).begun.is_some() } {
        let pool = context.pool();
        unsafe {
            Tokenizer::finish_begun(tokenizer, len, (pool, &parallel));
            write_batch(out, &mut *tokenizer, [0.0; 3]);
        }
        return Ok(());
    }
    let tokenizer = unsafe { &mut *tokenizer };
    let text = unsafe { bytes(text, len) };
    let ends = unsafe { from_raw_parts(ends, texts as usize) };
    let ascending = ends.windows(2).all(|w| w[0] <= w[1]);
    if !ascending || ends.last().is_none_or(|&end| end as usize != len) {
        return Err("the ends of the texts do not go up to the end of the bytes");
    }
    let inside = |&end: &u32| text.get(end as usize).is_some_and(|b| b & 0xc0 == 0x80);
    if replace == 0
        && let Some(&end) = ends.iter().find(|end| inside(end))
    {
        unsafe { write(out, &[0.0, 0.0, 0.0, 1.0, end as f64, 0.0]) };
        return Ok(());
    }
    let request = Request {
        special: special_mode(special)?,
        replace: replace != 0,
        streaming: false,
        place: Place::default(),
    };
    let done = outcome(tokenizer.encode_batch(text, ends, request, &parallel));
    unsafe { write_batch(out, tokenizer, done) };
    Ok(())
}

/// Writes where the ids of a batch are.
unsafe fn write_batch(out: *mut f64, tokenizer: &mut Tokenizer, [what, a, b]: [f64; 3]) {
    let ids = as_address(tokenizer.ids.as_mut_ptr()) as f64;
    let counts = as_address(tokenizer.counts.as_mut_ptr()) as f64;
    unsafe { write(out, &[ids, tokenizer.ids.len() as f64, counts, what, a, b]) };
}

/// Encodes the lines of a text and writes their ids in decimal.
pub unsafe fn text_lines(
    context: &Context,
    out: *mut f64,
    handle: *mut u8,
    text: *const u8,
    len: usize,
    special: u32,
    replace: u32,
    first: u32,
    last: u32,
) -> Status {
    let tokenizer = unsafe { &mut *handle.cast::<Tokenizer>() };
    let text = unsafe { bytes(text, len) };
    let request = Request {
        special: special_mode(special)?,
        replace: replace != 0,
        streaming: false,
        place: Place::default(),
    };
    let id = |id: u32| (id != NONE).then_some(id);
    let ends = Ends {
        first: id(first),
        last: id(last),
    };
    let parallel =
        |tasks: usize, work: &(dyn Fn(usize, usize) + Sync)| context.share_out(tasks, work);
    let [what, a, b] = outcome(tokenizer.encode_lines(text, request, ends, &parallel));
    let written = as_address(tokenizer.written.as_mut_ptr()) as f64;
    let (count, lines) = (tokenizer.written.len() as f64, tokenizer.lines as f64);
    unsafe { write(out, &[written, count, lines, what, a, b]) };
    Ok(())
}

/// Encodes a part of a stream.
pub unsafe fn text_stream(
    context: &Context,
    out: *mut f64,
    handle: *mut u8,
    text: *const u8,
    len: usize,
    special: u32,
    replace: u32,
    place: u32,
    last: u32,
) -> Status {
    let tokenizer = unsafe { &mut *handle.cast::<Tokenizer>() };
    let text = unsafe { bytes(text, len) };
    let mut request = Request {
        special: special_mode(special)?,
        replace: replace != 0,
        streaming: true,
        place: Place::from_bits(place),
    };
    let parallel =
        |tasks: usize, work: &(dyn Fn(usize, usize) + Sync)| context.share_out(tasks, work);
    let done = tokenizer.encode_stream(text, last != 0, &mut request, &parallel);
    let [what, a, b] = outcome(done);
    let at = if let Outcome::Done(at) = done {
        at as f64
    } else {
        0.0
    };
    let next = request.place.bits();
    let ids = as_address(tokenizer.ids.as_mut_ptr()) as f64;
    unsafe {
        write(
            out,
            &[ids, tokenizer.ids.len() as f64, at, what, a, b, next as f64],
        )
    };
    Ok(())
}

/// Frees a tokenizer.
pub unsafe fn text_close(_context: &Context, handle: *mut u8) -> Status {
    drop(unsafe { Box::from_raw(handle.cast::<Tokenizer>()) });
    Ok(())
}
