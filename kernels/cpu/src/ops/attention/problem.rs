//! What one call of attention is about: its arguments, their checks, and how its rows are cut.

use crate::context::Status;

/// The widest head whose working memory is reserved without asking.
const MAX_HEAD_DIM: usize = 8192;

/// The arguments of one call. Strides are in elements.
#[derive(Clone, Copy)]
pub struct Problem {
    pub out: *mut f32,
    pub q: *const f32,
    pub keys: *const u8,
    pub values: *const u8,
    pub page_table: *const i32,
    pub row_sequence: *const i32,
    pub row_position: *const i32,
    pub cache_dtype: u32,
    pub rows: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub pages: usize,
    pub page_size: usize,
    pub sequences: usize,
    pub max_pages: usize,
    pub q_stride: usize,
    pub out_stride: usize,
    pub scale: f32,
}

unsafe impl Sync for Problem {}

/// Consecutive rows of one sequence, which are worked on together.
#[derive(Clone, Copy)]
pub struct Block {
    /// The first row.
    pub row: u32,
    /// How many rows.
    pub rows: u32,
}

impl Problem {
    /// How many positions a row sees, its own included.
    pub unsafe fn visible(&self, row: usize) -> usize {
        unsafe { *self.row_position.add(row) as usize + 1 }
    }

    unsafe fn sequence(&self, row: usize) -> i32 {
        unsafe { *self.row_sequence.add(row) }
    }

    /// The most positions that any row of a block sees.
    pub unsafe fn longest(&self, block: Block) -> usize {
        let rows = block.row as usize..(block.row + block.rows) as usize;
        rows.map(|row| unsafe { self.visible(row) })
            .max()
            .unwrap_or(0)
    }

    /// Refuses what would read outside of the tensors.
    pub unsafe fn check(&self) -> Status {
        if self.kv_heads == 0 || !self.heads.is_multiple_of(self.kv_heads) {
            return Err("heads must be a multiple of kv_heads");
        }
        if self.head_dim == 0 || self.head_dim > MAX_HEAD_DIM {
            return Err("head_dim must be from 1 to 8192");
        }
        if self.page_size == 0 {
            return Err("page_size must be at least 1");
        }
        let width = self.heads as u64 * self.head_dim as u64;
        if self.rows > 1 && (self.q_stride.min(self.out_stride) as u64) < width {
            return Err("q_stride and out_stride must be at least heads * head_dim");
        }
        // Rows of one sequence stand together and share their first pages: those are looked at once.
        let (mut checked, mut of) = (0, -1);
        for row in 0..self.rows {
            let (sequence, position) = unsafe { (self.sequence(row), *self.row_position.add(row)) };
            if sequence < 0 || sequence as usize >= self.sequences {
                return Err("a row_sequence is not below sequences");
            }
            if position < 0 || position as usize / self.page_size >= self.max_pages {
                return Err("a row_position is not below max_pages * page_size");
            }
            if sequence != of {
                (checked, of) = (0, sequence);
            }
            let pages = position as usize / self.page_size + 1;
            while checked < pages {
                let at = sequence as usize * self.max_pages + checked;
                let page = unsafe { *self.page_table.add(at) };
                if page < 0 || page as usize >= self.pages {
                    return Err("a page of page_table is not below pages");
                }
                checked += 1;
            }
        }
        Ok(())
    }

    /// Cuts the rows into blocks of at most `most` and writes them; returns how many there are. What a
    /// block covers has no influence on any result.
    pub unsafe fn blocks(&self, most: usize, blocks: *mut Block) -> usize {
        let mut count = 0;
        let mut row = 0;
        while row < self.rows {
            let sequence = unsafe { self.sequence(row) };
            let mut end = row + 1;
            while end < self.rows && end - row < most && unsafe { self.sequence(end) } == sequence {
                end += 1;
            }
            unsafe {
                *blocks.add(count) = Block {
                    row: row as u32,
                    rows: (end - row) as u32,
                }
            };
            count += 1;
            row = end;
        }
        count
    }

    /// The line (page, head, place) of a position in the cache of one kv head.
    pub unsafe fn line(&self, sequence: usize, kv_head: usize, position: usize) -> usize {
        let at = sequence * self.max_pages + position / self.page_size;
        let page = unsafe { *self.page_table.add(at) } as usize;
        (page * self.kv_heads + kv_head) * self.page_size + position % self.page_size
    }
}
