//! Asking for what the next step will pack while tiles are multiplied.
//!
//! Packing waits for memory, tiles wait for nothing but the multipliers: where operands have been asked
//! for between products, they lie in a cache when they are packed.

use super::pack::Packing;
use crate::simd::Simd;

/// Bytes that a cache fetches at a time.
const LINE: usize = 64;

/// Lines of a cache that hold part of an operand: runs of them, a fixed distance apart.
#[derive(Clone, Copy)]
struct Runs {
    from: *const u8,
    /// Lines of a run.
    length: usize,
    runs: usize,
    /// Bytes from one run to the next.
    stride: usize,
}

impl Runs {
    const NONE: Runs = Runs {
        from: core::ptr::null(),
        length: 1,
        runs: 0,
        stride: 0,
    };

    fn of(job: &Packing) -> Runs {
        let operand = &job.operand;
        let bytes = if operand.half { 2 } else { 4 };
        let unit = job.arithmetic.unit_depth();
        let lines = job.end_line - job.first_line;
        let depth = job.first_unit * unit;
        let elements = (job.units * unit).min(job.depth - depth);
        let (length, runs, stride) = if operand.depth_stride == 1 {
            (elements, lines, operand.line_stride)
        } else {
            (lines, elements, operand.depth_stride)
        };
        if length == 0 || runs == 0 {
            return Runs::NONE;
        }
        let at = job.first_line * operand.line_stride + depth * operand.depth_stride;
        Runs {
            from: operand.address.wrapping_add(at * bytes),
            length: (length * bytes).div_ceil(LINE),
            runs,
            stride: stride * bytes,
        }
    }

    fn count(&self) -> usize {
        self.length * self.runs
    }
}

/// What a step packs, of both operands.
pub struct Ahead([Runs; 2]);

impl Ahead {
    /// No step.
    pub const NOTHING: Ahead = Ahead([Runs::NONE; 2]);

    /// What these jobs will read.
    pub fn of(jobs: &[Packing; 2]) -> Ahead {
        Ahead([Runs::of(&jobs[0]), Runs::of(&jobs[1])])
    }

    /// All of it, line by line.
    pub fn lines(&self) -> Lines<'_> {
        let count = self.0[0].count() + self.0[1].count();
        Lines {
            ahead: self,
            next: 0,
            end: count,
        }
    }
}

/// Lines that have not been asked for.
pub struct Lines<'a> {
    ahead: &'a Ahead,
    next: usize,
    end: usize,
}

impl Lines<'_> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.end - self.next
    }

    /// A walk over the next `count`, or fewer: those of one operand.
    #[inline(always)]
    pub fn walk(&mut self, count: usize) -> Walk {
        let [a, b] = &self.ahead.0;
        let first = a.count();
        let (runs, at, end) = if self.next < first {
            (a, self.next, self.end.min(first) - self.next)
        } else {
            (b, self.next - first, self.end - self.next)
        };
        let count = count.min(end);
        self.next += count;
        let (run, line) = (at / runs.length, at % runs.length);
        Walk {
            line: runs.from.wrapping_add(run * runs.stride + line * LINE),
            left: count,
            in_run: runs.length - line,
            length: runs.length,
            skip: runs.stride.wrapping_sub(runs.length * LINE),
        }
    }
}

/// Some lines, on the way.
pub struct Walk {
    line: *const u8,
    left: usize,
    in_run: usize,
    length: usize,
    /// Bytes from the end of a run to the next.
    skip: usize,
}

impl Walk {
    /// A walk over `rows` rows of so many bytes, so many bytes apart.
    #[inline(always)]
    pub fn over((from, bytes): (*const u8, usize), (rows, stride): (usize, usize)) -> Walk {
        let before = from as usize % LINE;
        let length = (before + bytes).div_ceil(LINE);
        Walk {
            line: from.wrapping_sub(before),
            left: length * rows,
            in_run: length,
            length,
            skip: stride.wrapping_sub(length * LINE),
        }
    }

    /// Asks for one line, as long as one is left.
    #[inline(always)]
    pub unsafe fn step<S: Simd>(&mut self) {
        if self.left == 0 {
            return;
        }
        unsafe { S::prefetch(self.line) };
        self.left -= 1;
        self.in_run -= 1;
        self.line = self.line.wrapping_add(LINE);
        if self.in_run == 0 {
            self.line = self.line.wrapping_add(self.skip);
            self.in_run = self.length;
        }
    }
}
