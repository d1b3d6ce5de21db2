//! What one chunk of attention does, for every cache type and instruction set.

use super::super::cache_element::{CacheElement, CacheF16, CacheF32};
use super::group::{SPAN, attend};
use super::plan::Plan;
use super::problem::Problem;
use super::state::{finish, merge};
use crate::abi_generated::dtype;
use crate::simd::{Isa, Simd, per_isa};

/// The two ways through the cache, for one cache type.
#[derive(Clone, Copy)]
pub struct Walk {
    /// A group over all of its spans.
    pub whole: unsafe fn(Isa, &Problem, &Plan, usize, usize),
    /// A group over one of its spans.
    pub part: unsafe fn(Isa, &Problem, &Plan, usize, usize, usize),
}

/// The walk for a cache type.
pub fn walk(cache_dtype: u32) -> Result<Walk, &'static str> {
    match cache_dtype {
        dtype::F32 => Ok(Walk {
            whole: whole_f32_on,
            part: part_f32_on,
        }),
        dtype::F16 => Ok(Walk {
            whole: whole_f16_on,
            part: part_f16_on,
        }),
        _ => Err("cache_dtype must be f32 or f16"),
    }
}

/// A group over all of its spans.
#[inline(always)]
unsafe fn whole<S: Simd, C: CacheElement>(
    problem: &Problem,
    plan: &Plan,
    index: usize,
    worker: usize,
) {
    unsafe {
        let head_dim = problem.head_dim;
        let group = plan.group(problem, index);
        let (work, total, next) = plan.workspace(worker, head_dim);
        for span in 0..problem.longest(group.block).div_ceil(SPAN) {
            attend::<S, C>(problem, &group, span, next, work);
            for m in 0..group.queries() {
                if problem.visible(group.query(m).0) > span * SPAN {
                    let (total, next) = (total.from(m, head_dim), next.from(m, head_dim));
                    merge::<S>(total, next, span == 0, head_dim);
                }
            }
        }
        for m in 0..group.queries() {
            let (row, head) = group.query(m);
            let out = problem.out.add(row * problem.out_stride + head * head_dim);
            finish::<S>(out, total.from(m, head_dim), head_dim);
        }
    }
}

/// A group over one of its spans, whose states go to the plan's memory.
#[inline(always)]
unsafe fn part<S: Simd, C: CacheElement>(
    problem: &Problem,
    plan: &Plan,
    index: usize,
    span: usize,
    worker: usize,
) {
    unsafe {
        let head_dim = problem.head_dim;
        let group = plan.group(problem, index);
        if problem.longest(group.block) <= span * SPAN {
            return;
        }
        let (work, _, next) = plan.workspace(worker, head_dim);
        attend::<S, C>(problem, &group, span, next, work);
        for m in 0..group.queries() {
            let (row, head) = group.query(m);
            if problem.visible(row) > span * SPAN {
                let kept = plan.state(problem, row * problem.heads + head, span);
                merge::<S>(kept, next.from(m, head_dim), true, head_dim);
            }
        }
    }
}

/// Merges the spans of all heads of a row.
#[inline(always)]
unsafe fn join<S: Simd>(problem: &Problem, plan: &Plan, row: usize) {
    unsafe {
        let head_dim = problem.head_dim;
        for head in 0..problem.heads {
            let query = row * problem.heads + head;
            let total = plan.state(problem, query, 0);
            for span in 1..problem.visible(row).div_ceil(SPAN) {
                merge::<S>(total, plan.state(problem, query, span), false, head_dim);
            }
            let out = problem.out.add(row * problem.out_stride + head * head_dim);
            finish::<S>(out, total, head_dim);
        }
    }
}
per_isa! { pub unsafe fn join_on = join(problem: &Problem, plan: &Plan, row: usize); }

#[inline(always)]
unsafe fn whole_f32<S: Simd>(problem: &Problem, plan: &Plan, index: usize, worker: usize) {
    unsafe { whole::<S, CacheF32>(problem, plan, index, worker) }
}
per_isa! {
    unsafe fn whole_f32_on = whole_f32(
        problem: &Problem, plan: &Plan, index: usize, worker: usize,
    );
}

#[inline(always)]
unsafe fn whole_f16<S: Simd>(problem: &Problem, plan: &Plan, index: usize, worker: usize) {
    unsafe { whole::<S, CacheF16>(problem, plan, index, worker) }
}
per_isa! {
    unsafe fn whole_f16_on = whole_f16(
        problem: &Problem, plan: &Plan, index: usize, worker: usize,
    );
}

#[inline(always)]
unsafe fn part_f32<S: Simd>(
    problem: &Problem,
    plan: &Plan,
    index: usize,
    span: usize,
    worker: usize,
) {
    unsafe { part::<S, CacheF32>(problem, plan, index, span, worker) }
}
per_isa! {
    unsafe fn part_f32_on = part_f32(
        problem: &Problem, plan: &Plan, index: usize, span: usize, worker: usize,
    );
}

#[inline(always)]
unsafe fn part_f16<S: Simd>(
    problem: &Problem,
    plan: &Plan,
    index: usize,
    span: usize,
    worker: usize,
) {
    unsafe { part::<S, CacheF16>(problem, plan, index, span, worker) }
}
per_isa! {
    unsafe fn part_f16_on = part_f16(
        problem: &Problem, plan: &Plan, index: usize, span: usize, worker: usize,
    );
}
