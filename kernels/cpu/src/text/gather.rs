//! Results of many tasks, put one behind another by all threads.

use super::tokenizer::Parallel;
use super::worker::reserve;
use alloc::vec::Vec;

/// Lets threads write to different elements of one array.
pub(super) struct Shared<T>(pub(super) *mut T);

unsafe impl<T> Sync for Shared<T> {}

/// Replaces a list by the parts of all results.
pub(super) fn gather<R: Sync, T: Copy>(
    all: &mut Vec<T>,
    results: &[R],
    part: impl Fn(&R) -> &[T] + Sync,
    parallel: Parallel,
) {
    let mut starts = Vec::with_capacity(results.len());
    let mut total = 0;
    for result in results {
        starts.push(total);
        total += part(result).len();
    }
    all.clear();
    reserve(all, total);
    let shared = Shared(all.as_mut_ptr());
    parallel(results.len(), &|task, _| {
        let (all, part) = (&shared, part(&results[task]));
        // There is room for all, and each has its own place.
        unsafe {
            core::ptr::copy_nonoverlapping(part.as_ptr(), all.0.add(starts[task]), part.len())
        };
    });
    // Each of them is written now.
    unsafe { all.set_len(total) };
}
