//! Arguments of training attention, checked.

use crate::context::Status;

/// Coordinates of a head, at most: beyond that no memory was meant for its tiles.
const MOST_COORDINATES: usize = 8192;

/// A tensor [rows, heads, head_dim] with a distance of rows.
#[derive(Clone, Copy)]
pub struct Head {
    address: *mut f32,
    stride: usize,
}

impl Head {
    /// A tensor at an address.
    pub fn new(address: *mut f32, stride: u32) -> Head {
        let stride = stride as usize;
        Head { address, stride }
    }

    /// The first element of a row's head.
    #[inline(always)]
    pub unsafe fn at(&self, row: usize, head: usize, head_dim: usize) -> *mut f32 {
        unsafe { self.address.add(row * self.stride + head * head_dim) }
    }
}

/// Arguments of either kernel; the forward one has no gradients.
#[derive(Clone, Copy)]
pub struct Problem {
    pub starts: *const i32,
    pub rows: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub scale: f32,
    /// Whether factors of products are rounded to bf16.
    pub brain: bool,
    pub out: Head,
    pub q: Head,
    pub k: Head,
    pub v: Head,
    pub log_z: *mut f32,
    pub dq: Head,
    pub dk: Head,
    pub dv: Head,
    pub dout: Head,
}

impl Default for Problem {
    fn default() -> Problem {
        let none = Head::new(core::ptr::null_mut(), 0);
        Problem {
            starts: core::ptr::null(),
            rows: 0,
            heads: 0,
            kv_heads: 0,
            head_dim: 0,
            scale: 1.0,
            brain: false,
            out: none,
            q: none,
            k: none,
            v: none,
            log_z: core::ptr::null_mut(),
            dq: none,
            dk: none,
            dv: none,
            dout: none,
        }
    }
}

unsafe impl Sync for Problem {}

impl Problem {
    /// Refuses heads that do not share out, rows that overlap and starts that are no documents'.
    pub fn check(&self, strides: &[u32], kv_strides: &[u32]) -> Status {
        if self.kv_heads == 0 || !self.heads.is_multiple_of(self.kv_heads) {
            return Err("heads is not a multiple of kv_heads");
        }
        if !(1..=MOST_COORDINATES).contains(&self.head_dim) {
            return Err("head_dim must be from 1 to 8192");
        }
        let narrow = |strides: &[u32], heads: usize| {
            let width = heads as u64 * self.head_dim as u64;
            strides.iter().any(|&stride| u64::from(stride) < width)
        };
        if self.rows > 1 && (narrow(strides, self.heads) || narrow(kv_strides, self.kv_heads)) {
            return Err("a stride is below the width of its rows");
        }
        let mut start = 0;
        for row in 0..self.rows {
            let found = unsafe { *self.starts.add(row) };
            let new = found as usize == row;
            if found < 0 || !(new || row > 0 && found as usize == start) {
                return Err("starts: every row's is its own index or that of the row before");
            }
            start = found as usize;
        }
        Ok(())
    }

    /// The first row that row `row` sees.
    pub fn start(&self, row: usize) -> usize {
        unsafe { *self.starts.add(row) as usize }
    }

    /// Query heads of a kv head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}
