//! One file per op: the plain reference, the fast path, the tests.

use crate::context::{Context, Status};

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

pub unsafe fn rms_norm(
    _context: &Context,
    _out: *mut f32,
    _x: *const f32,
    _weight: *const f32,
    _rows: u32,
    _dim: u32,
    _eps: f32,
) -> Status {
    Err("unwritten")
}

pub unsafe fn layer_norm(
    _context: &Context,
    _out: *mut f32,
    _x: *const f32,
    _weight: *const f32,
    _bias: *const f32,
    _rows: u32,
    _dim: u32,
    _eps: f32,
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

pub unsafe fn rope(
    _context: &Context,
    _x: *mut f32,
    _table: *const f32,
    _rows: u32,
    _heads: u32,
    _head_dim: u32,
    _stride: u32,
    _layout: u32,
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

pub unsafe fn swiglu(
    _context: &Context,
    _out: *mut f32,
    _gate: *const f32,
    _up: *const f32,
    _rows: u32,
    _dim: u32,
    _gate_stride: u32,
    _up_stride: u32,
) -> Status {
    Err("unwritten")
}

pub unsafe fn add(_context: &Context, _out: *mut f32, _x: *const f32, _count: usize) -> Status {
    Err("unwritten")
}

pub unsafe fn scale(_context: &Context, _x: *mut f32, _factor: f32, _count: usize) -> Status {
    Err("unwritten")
}

pub unsafe fn softmax(
    _context: &Context,
    _out: *mut f32,
    _x: *const f32,
    _rows: u32,
    _dim: u32,
) -> Status {
    Err("unwritten")
}

pub unsafe fn argmax(
    _context: &Context,
    _out: *mut i32,
    _x: *const f32,
    _rows: u32,
    _dim: u32,
) -> Status {
    Err("unwritten")
}

pub unsafe fn score(
    _context: &Context,
    _log_prob: *mut f32,
    _log_z: *mut f32,
    _logits: *const f32,
    _targets: *const i32,
    _rows: u32,
    _vocab: u32,
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
