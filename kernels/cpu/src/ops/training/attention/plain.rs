//! Row by row and head by head.

use super::problem::Problem;
use crate::context::Context;
use crate::ops::chunks::Shared;
use crate::ops::exp::exp;
use crate::ops::ln::ln;
use crate::simd::Scalar;

fn exp_one(x: f32) -> f32 {
    let [first, ..] = unsafe { exp::<Scalar>([x; 4]) };
    first
}

unsafe fn dot(a: *const f32, b: *const f32, count: usize) -> f32 {
    (0..count).map(|i| unsafe { *a.add(i) * *b.add(i) }).sum()
}

/// out and log_z of every row.
pub unsafe fn forward(context: &Context, problem: &Problem) {
    let dim = problem.head_dim;
    let scratch = context.scratch(context.threads() * problem.rows.max(1) * 4);
    let shared = Shared::new((problem, scratch.cast::<f32>()));
    context.parallel(problem.heads, &|head, worker| unsafe {
        let (p, scratch) = shared.get();
        let scores = scratch.add(worker * p.rows);
        for row in 0..p.rows {
            let (q, out) = (p.q.at(row, head, dim), p.out.at(row, head, dim));
            let mut largest = f32::NEG_INFINITY;
            for j in p.start(row)..=row {
                let score = p.scale * dot(q, p.k.at(j, head / p.group(), dim), dim);
                largest = if score > largest { score } else { largest };
                *scores.add(j) = score;
            }
            let mut total = 0.0f64;
            for j in p.start(row)..=row {
                *scores.add(j) = exp_one(*scores.add(j) - largest);
                total += f64::from(*scores.add(j));
            }
            *p.log_z.add(row * p.heads + head) = (f64::from(largest) + ln(total)) as f32;
            for i in 0..dim {
                let mut sum = 0.0;
                for j in p.start(row)..=row {
                    sum += *scores.add(j) * *p.v.at(j, head / p.group(), dim).add(i);
                }
                *out.add(i) = sum / total as f32;
            }
        }
    });
}

/// dq, dk and dv of every row.
pub unsafe fn backward(context: &Context, problem: &Problem) {
    let shared = Shared::new(problem);
    context.parallel(problem.kv_heads, &|kv_head, _| unsafe {
        let p = shared.get();
        let dim = p.head_dim;
        for row in 0..p.rows {
            core::ptr::write_bytes(p.dk.at(row, kv_head, dim), 0, dim);
            core::ptr::write_bytes(p.dv.at(row, kv_head, dim), 0, dim);
        }
        for head in kv_head * p.group()..(kv_head + 1) * p.group() {
            for row in 0..p.rows {
                backward_row(p, row, head);
            }
        }
    });
}

unsafe fn backward_row(p: &Problem, row: usize, head: usize) {
    unsafe {
        let (dim, kv_head) = (p.head_dim, head / p.group());
        let (q, dq) = (p.q.at(row, head, dim), p.dq.at(row, head, dim));
        let dout = p.dout.at(row, head, dim);
        let along = dot(dout, p.out.at(row, head, dim), dim);
        let log_z = *p.log_z.add(row * p.heads + head);
        core::ptr::write_bytes(dq, 0, dim);
        for j in p.start(row)..=row {
            let (k, v) = (p.k.at(j, kv_head, dim), p.v.at(j, kv_head, dim));
            let weight = exp_one(p.scale * dot(q, k, dim) - log_z);
            let slope = p.scale * weight * (dot(dout, v, dim) - along);
            let (dk, dv) = (p.dk.at(j, kv_head, dim), p.dv.at(j, kv_head, dim));
            for i in 0..dim {
                *dv.add(i) += weight * *dout.add(i);
                *dq.add(i) += slope * *k.add(i);
                *dk.add(i) += slope * *q.add(i);
            }
        }
    }
}
