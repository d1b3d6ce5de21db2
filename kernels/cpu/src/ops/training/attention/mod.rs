//! Causal attention of whole packed documents, forward and backward (Dao 2023, algorithms 1 and 2).
//!
//! Tiles begin where documents do, so that a document gets the same numbers wherever it is packed,
//! and what the causal mask hides is left out down to the rows of a register tile.

mod backward;
mod backward_queries;
mod factors;
mod forward;
mod problem;
mod product;
#[cfg(test)]
mod tests;
mod tile;
mod work;

use crate::context::{Context, Status};
use crate::ops::gemm::is_half;
use crate::simd::isa;
use problem::{Head, Problem};

const PRECISIONS: &str = "precision must be f32 or bf16";

/// The kernel `attention_forward` of the table.
pub unsafe fn attention_forward(
    context: &Context,
    out: *mut f32,
    log_z: *mut f32,
    q: *const f32,
    k: *const f32,
    v: *const f32,
    starts: *const i32,
    rows: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    out_stride: u32,
    q_stride: u32,
    k_stride: u32,
    v_stride: u32,
    scale: f32,
    precision: u32,
) -> Status {
    let problem = Problem {
        starts,
        rows: rows as usize,
        heads: heads as usize,
        kv_heads: kv_heads as usize,
        head_dim: head_dim as usize,
        scale,
        brain: is_half(precision).ok_or(PRECISIONS)?,
        out: Head::new(out, out_stride),
        q: Head::new(q.cast_mut(), q_stride),
        k: Head::new(k.cast_mut(), k_stride),
        v: Head::new(v.cast_mut(), v_stride),
        log_z,
        ..Problem::default()
    };
    problem.check(&[out_stride, q_stride], &[k_stride, v_stride])?;
    unsafe { forward::forward(isa(), context, &problem) };
    Ok(())
}

/// The kernel `attention_backward` of the table.
pub unsafe fn attention_backward(
    context: &Context,
    dq: *mut f32,
    dk: *mut f32,
    dv: *mut f32,
    dout: *const f32,
    out: *const f32,
    log_z: *const f32,
    q: *const f32,
    k: *const f32,
    v: *const f32,
    starts: *const i32,
    rows: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    dq_stride: u32,
    dk_stride: u32,
    dv_stride: u32,
    dout_stride: u32,
    out_stride: u32,
    q_stride: u32,
    k_stride: u32,
    v_stride: u32,
    scale: f32,
    precision: u32,
) -> Status {
    let problem = Problem {
        starts,
        rows: rows as usize,
        heads: heads as usize,
        kv_heads: kv_heads as usize,
        head_dim: head_dim as usize,
        scale,
        brain: is_half(precision).ok_or(PRECISIONS)?,
        out: Head::new(out.cast_mut(), out_stride),
        q: Head::new(q.cast_mut(), q_stride),
        k: Head::new(k.cast_mut(), k_stride),
        v: Head::new(v.cast_mut(), v_stride),
        log_z: log_z.cast_mut(),
        dq: Head::new(dq, dq_stride),
        dk: Head::new(dk, dk_stride),
        dv: Head::new(dv, dv_stride),
        dout: Head::new(dout.cast_mut(), dout_stride),
    };
    problem.check(
        &[dq_stride, dout_stride, out_stride, q_stride],
        &[dk_stride, dv_stride, k_stride, v_stride],
    )?;
    unsafe { backward::backward(isa(), context, &problem) };
    Ok(())
}
