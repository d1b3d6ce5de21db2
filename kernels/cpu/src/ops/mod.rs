//! One file per op: the plain reference, the fast path, the tests.

use crate::context::{Context, Status};

mod argmax;
mod chunks;
mod elementwise;
mod exp;
mod exp_sum;
mod ln;
mod maximum;
mod norm;
mod reduce;
mod rope;
mod score;
mod softmax;
mod swiglu;
#[cfg(test)]
mod testing;

pub use argmax::argmax;
pub use elementwise::{add, scale};
pub use norm::{layer_norm, rms_norm};
pub use rope::rope;
pub use score::score;
pub use softmax::softmax;
pub use swiglu::swiglu;

pub unsafe fn embedding(
    _context: &Context,
    _out: *mut f32,
    _table: *const u8,
    _ids: *const i32,
    _table_dtype: u32,
    _rows: u32,
    _vocab: u32,
    _dim: u32,
) -> Status {
    Err("unwritten")
}

pub unsafe fn matmul(
    _context: &Context,
    _out: *mut f32,
    _x: *const u8,
    _weight: *const u8,
    _x_dtype: u32,
    _weight_dtype: u32,
    _rows: u32,
    _out_dim: u32,
    _in_dim: u32,
    _x_stride: u32,
    _out_stride: u32,
    _accumulate: u32,
) -> Status {
    Err("unwritten")
}

pub unsafe fn convert(
    _context: &Context,
    _out: *mut u8,
    _x: *const u8,
    _out_dtype: u32,
    _x_dtype: u32,
    _rows: u32,
    _dim: u32,
) -> Status {
    Err("unwritten")
}

pub unsafe fn kv_store(
    _context: &Context,
    _cache: *mut u8,
    _x: *const f32,
    _slots: *const i32,
    _cache_dtype: u32,
    _rows: u32,
    _kv_heads: u32,
    _head_dim: u32,
    _stride: u32,
    _pages: u32,
    _page_size: u32,
) -> Status {
    Err("unwritten")
}

pub unsafe fn attention(
    _context: &Context,
    _out: *mut f32,
    _q: *const f32,
    _keys: *const u8,
    _values: *const u8,
    _page_table: *const i32,
    _row_sequence: *const i32,
    _row_position: *const i32,
    _cache_dtype: u32,
    _rows: u32,
    _heads: u32,
    _kv_heads: u32,
    _head_dim: u32,
    _pages: u32,
    _page_size: u32,
    _sequences: u32,
    _max_pages: u32,
    _q_stride: u32,
    _out_stride: u32,
    _scale: f32,
) -> Status {
    Err("unwritten")
}

pub unsafe fn peak_fma(_context: &Context, _out: *mut f64, _iterations: u32) -> Status {
    Err("unwritten")
}

pub unsafe fn peak_read(
    _context: &Context,
    _out: *mut f64,
    _x: *const f32,
    _bytes: usize,
    _variant: u32,
) -> Status {
    Err("unwritten")
}
