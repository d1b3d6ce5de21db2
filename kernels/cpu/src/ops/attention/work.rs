//! What one chunk of attention does, for every cache type and instruction set.

use super::super::cache_element::{CacheElement, CacheF16, CacheF32, CacheQ8, check_cache};
use super::group::{SPAN, attend};
use super::plan::Plan;
use super::problem::Problem;
use super::state::{finish, merge};
use crate::abi_generated::dtype;
use crate::simd::{Isa, Simd, per_isa};

type Whole = unsafe fn(Isa, &Problem, &Plan, usize, usize);
type Part = unsafe fn(Isa, &Problem, &Plan, usize, usize, usize);

/// The two ways through the cache, for one cache type.
#[derive(Clone, Copy)]
pub struct Walk {
    /// A group over all of its spans.
    pub whole: Whole,
    /// A group over one of its spans.
    pub part: Part,
}

/// The walk for a cache type.
pub fn walk(cache_dtype: u32, head_dim: usize) -> Result<Walk, &'static str> {
    check_cache(cache_dtype, head_dim)?;
    let (whole, part): (Whole, Part) = match cache_dtype {
        dtype::F32 => (whole_f32_on, part_f32_on),
        dtype::F16 => (whole_f16_on, part_f16_on),
        _ => (whole_q8_on, part_q8_on),
    };
    Ok(Walk { whole, part })
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

/// The two walks of one cache type, on every instruction set.
macro_rules! walks {
    ($whole:ident, $whole_on:ident, $part:ident, $part_on:ident, $cache:ty) => {
        #[inline(always)]
        unsafe fn $whole<S: Simd>(problem: &Problem, plan: &Plan, index: usize, worker: usize) {
            unsafe { whole::<S, $cache>(problem, plan, index, worker) }
        }
        per_isa! {
            unsafe fn $whole_on = $whole(
                problem: &Problem, plan: &Plan, index: usize, worker: usize,
            );
        }
        #[inline(always)]
        unsafe fn $part<S: Simd>(
            problem: &Problem,
            plan: &Plan,
            index: usize,
            span: usize,
            worker: usize,
        ) {
            unsafe { part::<S, $cache>(problem, plan, index, span, worker) }
        }
        per_isa! {
            unsafe fn $part_on = $part(
                problem: &Problem, plan: &Plan, index: usize, span: usize, worker: usize,
            );
        }
    };
}

walks!(whole_f32, whole_f32_on, part_f32, part_f32_on, CacheF32);
walks!(whole_f16, whole_f16_on, part_f16, part_f16_on, CacheF16);
walks!(whole_q8, whole_q8_on, part_q8, part_q8_on, CacheQ8);
