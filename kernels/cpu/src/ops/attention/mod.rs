//! Causal attention of query rows over a paged cache: Dao et al. 2022, algorithm 1; Kwon et al. 2023;
//! grouped heads as in Ainslie et al. 2023.
//!
//! Queries that read the same keys (rows of one sequence, query heads of one kv head) form a group and
//! go through the cache together, in tiles of positions anchored at 0 with an online softmax; spans of
//! several tiles are merged in order. What a query gets depends on its position and on what it reads,
//! never on its group, on page sizes or on threads. Where there are few groups, as in decoding, the
//! spans of a group go to different threads first.

mod group;
mod mix;
mod plan;
mod problem;
mod scores;
mod state;
#[cfg(test)]
mod tests;
mod tile;
mod work;

use crate::context::{Context, Status};
use crate::simd::{Isa, isa};
use plan::plan;
use problem::Problem;
use work::{join_on, walk};

/// The kernel `attention` of the table.
pub unsafe fn attention(
    context: &Context,
    out: *mut f32,
    q: *const f32,
    keys: *const u8,
    values: *const u8,
    page_table: *const i32,
    row_sequence: *const i32,
    row_position: *const i32,
    cache_dtype: u32,
    rows: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    pages: u32,
    page_size: u32,
    sequences: u32,
    max_pages: u32,
    q_stride: u32,
    out_stride: u32,
    scale: f32,
) -> Status {
    let problem = Problem {
        out,
        q,
        keys,
        values,
        page_table,
        row_sequence,
        row_position,
        cache_dtype,
        rows: rows as usize,
        heads: heads as usize,
        kv_heads: kv_heads as usize,
        head_dim: head_dim as usize,
        pages: pages as usize,
        page_size: page_size as usize,
        sequences: sequences as usize,
        max_pages: max_pages as usize,
        q_stride: q_stride as usize,
        out_stride: out_stride as usize,
        scale,
    };
    unsafe { attention_with(isa(), context, &problem) }
}

unsafe fn attention_with(isa: Isa, context: &Context, problem: &Problem) -> Status {
    unsafe { problem.check() }?;
    let walk = walk(problem.cache_dtype, problem.head_dim)?;
    if problem.rows == 0 || problem.heads == 0 {
        return Ok(());
    }
    let plan = unsafe { plan(context, problem) };
    let groups = plan.groups(problem);
    if plan.states.is_null() {
        context.parallel(groups, &|index, worker| unsafe {
            (walk.whole)(isa, problem, &plan, index, worker);
        });
    } else {
        context.parallel(groups * plan.spans, &|chunk, worker| unsafe {
            (walk.part)(
                isa,
                problem,
                &plan,
                chunk / plan.spans,
                chunk % plan.spans,
                worker,
            );
        });
        context.parallel(problem.rows, &|row, _| unsafe {
            join_on(isa, problem, &plan, row)
        });
    }
    Ok(())
}
