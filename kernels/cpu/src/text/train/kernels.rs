//! The kernels through which tokenizers are trained from outside.

use super::options::Options;
use super::trainer::Trainer;
use crate::context::{Context, Status, as_address};
use alloc::boxed::Box;
use core::slice::from_raw_parts;

unsafe fn write(out: *mut f64, values: &[f64]) {
    for (i, &value) in values.iter().enumerate() {
        unsafe { *out.add(i) = value };
    }
}

/// Begins a run.
pub unsafe fn text_train_open(
    context: &Context,
    out: *mut f64,
    description: *const u8,
    bytes: usize,
) -> Status {
    let description = unsafe { from_raw_parts(description, bytes) };
    let trainer = Trainer::new(Options::new(description)?, context.threads());
    unsafe { write(out, &[as_address(Box::into_raw(Box::new(trainer))) as f64]) };
    Ok(())
}

/// Reads a block of text.
pub unsafe fn text_train_feed(
    context: &Context,
    out: *mut f64,
    handle: *mut u8,
    text: *const u8,
    ends: *const u32,
    bytes: usize,
    documents: u32,
) -> Status {
    let trainer = unsafe { &mut *handle.cast::<Trainer>() };
    let text = unsafe { from_raw_parts(text, bytes) };
    let ends = unsafe { from_raw_parts(ends, documents as usize) };
    let inside = ends.last().is_none_or(|&end| end as usize <= bytes);
    if !inside || ends.windows(2).any(|w| w[0] > w[1]) {
        return Err("the ends of the documents do not ascend up to the end of the bytes");
    }
    let corpus = trainer.corpus()?;
    let result = match corpus.feed(context, text, ends) {
        Ok(()) => [
            0.0,
            0.0,
            corpus.lines().seen as f64,
            f64::from(u8::from(corpus.is_full())),
        ],
        Err(at) => [1.0, at as f64, 0.0, 0.0],
    };
    unsafe { write(out, &result) };
    Ok(())
}

/// Ends reading, chooses the alphabet, counts the first pairs.
pub unsafe fn text_train_prepare(context: &Context, out: *mut f64, handle: *mut u8) -> Status {
    let trainer = unsafe { &mut *handle.cast::<Trainer>() };
    let summary = trainer.prepare(context)?;
    let values = [
        summary.lines.seen as f64,
        summary.lines.too_long as f64,
        summary.lines.reserved as f64,
        summary.words as f64,
        summary.alphabet as f64,
        summary.characters as f64,
        summary.absent.map_or(-1.0, f64::from),
    ];
    unsafe { write(out, &values) };
    Ok(())
}

/// Learns pieces.
pub unsafe fn text_train_step(
    _context: &Context,
    out: *mut f64,
    handle: *mut u8,
    target: u32,
    budget: u32,
) -> Status {
    let trainer = unsafe { &mut *handle.cast::<Trainer>() };
    let progress = trainer.step(target as usize, budget as usize)?;
    let values = [
        progress.learned as f64,
        progress.frequency as f64,
        f64::from(u8::from(progress.exhausted)),
        progress.ambiguous_from.map_or(-1.0, |piece| piece as f64),
    ];
    unsafe { write(out, &values) };
    Ok(())
}

/// Gives the pieces.
pub unsafe fn text_train_pieces(_context: &Context, out: *mut f64, handle: *mut u8) -> Status {
    let trainer = unsafe { &mut *handle.cast::<Trainer>() };
    trainer.serialize()?;
    let values = [
        as_address(trainer.bytes.as_mut_ptr()) as f64,
        trainer.bytes.len() as f64,
        as_address(trainer.ends.as_mut_ptr()) as f64,
        trainer.ends.len() as f64,
    ];
    unsafe { write(out, &values) };
    Ok(())
}

/// Ends a run.
pub unsafe fn text_train_close(_context: &Context, handle: *mut u8) -> Status {
    drop(unsafe { Box::from_raw(handle.cast::<Trainer>()) });
    Ok(())
}
