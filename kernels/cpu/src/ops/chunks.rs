//! How an op cuts its rows into chunks for the threads: by shape alone.

use crate::context::Context;

/// Elements below which waking a second thread costs more than it gains.
const CHUNK: usize = 1 << 15;

/// Pointers that the threads of one op share; each chunk writes its own part of what they point to.
#[derive(Clone, Copy)]
pub struct Shared<T>(T);

unsafe impl<T> Sync for Shared<T> {}
unsafe impl<T> Send for Shared<T> {}

impl<T: Copy> Shared<T> {
    /// Shares a tuple of pointers. The op promises that chunks do not write to the same places.
    pub fn new(pointers: T) -> Shared<T> {
        Shared(pointers)
    }

    /// The pointers.
    #[inline(always)]
    pub fn get(&self) -> T {
        self.0
    }
}

/// Calls `work(first, last)` for ranges that cover `0 .. rows`, on the threads of the pool where
/// `rows` times `dim` elements are worth it.
pub fn in_rows(context: &Context, rows: usize, dim: usize, work: &(dyn Fn(usize, usize) + Sync)) {
    let per_chunk = (CHUNK / dim.max(1)).max(1);
    match rows.div_ceil(per_chunk) {
        0 => {}
        1 => work(0, rows),
        chunks => context.parallel(chunks, &|chunk, _| {
            let first = chunk * per_chunk;
            work(first, (first + per_chunk).min(rows));
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn every_row_is_covered_once_whatever_the_shape() {
        let context = Context::new(3);
        for (rows, dim) in [
            (0, 4),
            (1, 1 << 20),
            (5, 1 << 20),
            (1000, 100),
            (7, 0),
            (65_537, 3),
        ] {
            let ranges = Mutex::new(Vec::new());
            in_rows(&context, rows, dim, &|first, last| {
                ranges.lock().unwrap().push((first, last))
            });
            let mut ranges = ranges.into_inner().unwrap();
            ranges.sort();
            let mut next = 0;
            for (first, last) in ranges {
                assert!(
                    first == next && last > first,
                    "{rows} x {dim}: {first} .. {last}"
                );
                next = last;
            }
            assert_eq!(next, rows);
        }
    }
}
