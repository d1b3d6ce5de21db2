//! How a call of attention is laid out: groups, their order, and the memory of its threads.

use super::group::{GROUP, Group, SPAN, Workspace};
use super::problem::{Block, Problem};
use super::state::State;
use super::tile::TILE;
use crate::context::Context;

/// Groups below which their spans are shared out among the threads.
const FEW_GROUPS: usize = 64;
/// Floats of all spans' states above which they are not.
const MANY_FLOATS: usize = 1 << 22;

/// How the work of a call is laid out; by its shape alone.
#[derive(Clone, Copy)]
pub struct Plan {
    blocks: *const Block,
    block_count: usize,
    /// Query heads of a group, and groups of one block and kv head.
    heads: usize,
    pieces: usize,
    /// Spans of the longest row.
    pub spans: usize,
    /// Workspaces and states of the threads.
    work: *mut f32,
    /// States of all queries and spans, where spans are shared out; else null.
    pub states: *mut f32,
}

unsafe impl Sync for Plan {}

impl Plan {
    /// How many groups there are.
    pub fn groups(&self, problem: &Problem) -> usize {
        self.block_count * problem.kv_heads * self.pieces
    }

    /// Group number `index`. The last block of a kv head comes first: it sees the most, and what takes
    /// longest should not start last.
    pub unsafe fn group(&self, problem: &Problem, index: usize) -> Group {
        let (rest, piece) = (index / self.pieces, index % self.pieces);
        let block = self.block_count - 1 - rest % self.block_count;
        let kv_head = rest / self.block_count;
        let shared = problem.heads / problem.kv_heads;
        let first = piece * self.heads;
        Group {
            block: unsafe { *self.blocks.add(block) },
            kv_head,
            head: kv_head * shared + first,
            heads: self.heads.min(shared - first),
        }
    }

    /// Floats of one thread's workspace and of its two states.
    fn worker_floats(head_dim: usize) -> usize {
        GROUP * (head_dim + TILE) + 2 * TILE * head_dim + 2 * State::floats(GROUP, head_dim)
    }

    /// The workspace of a thread and two states beside it.
    pub unsafe fn workspace(&self, worker: usize, head_dim: usize) -> (Workspace, State, State) {
        unsafe {
            let q = self.work.add(worker * Plan::worker_floats(head_dim));
            let scores = q.add(GROUP * head_dim);
            let wide = scores.add(GROUP * TILE);
            let total = wide.add(2 * TILE * head_dim);
            let next = total.add(State::floats(GROUP, head_dim));
            (
                Workspace { q, scores, wide },
                State::at(total, GROUP),
                State::at(next, GROUP),
            )
        }
    }

    /// The state of a query (row * heads + head) over a span, where spans are shared out.
    pub unsafe fn state(&self, problem: &Problem, query: usize, span: usize) -> State {
        let floats = State::floats(1, problem.head_dim);
        unsafe { State::at(self.states.add((query * self.spans + span) * floats), 1) }
    }
}

/// Cuts the rows into blocks and reserves the memory for it all.
pub unsafe fn plan(context: &Context, problem: &Problem) -> Plan {
    let shared = problem.heads / problem.kv_heads;
    let heads = shared.div_ceil(shared.div_ceil(GROUP));
    let pieces = shared.div_ceil(heads);
    let visible = |row| unsafe { problem.visible(row) };
    let longest = (0..problem.rows).map(visible).max().unwrap_or(0);
    let spans = longest.div_ceil(SPAN);
    let state_floats = [problem.heads, spans, State::floats(1, problem.head_dim)]
        .iter()
        .fold(problem.rows, |floats, &count| floats.saturating_mul(count));
    let block_bytes = (problem.rows * size_of::<Block>()).next_multiple_of(64);
    let work_floats = context.threads() * Plan::worker_floats(problem.head_dim);
    let most = GROUP / heads;
    // The blocks decide whether spans are shared out, so there is room for their states anyway, where
    // that is little.
    let may_share = spans > 1 && state_floats <= MANY_FLOATS;
    let floats = work_floats + if may_share { state_floats } else { 0 };
    let memory = context.scratch(block_bytes + floats * 4);
    let blocks = memory.cast::<Block>();
    let block_count = unsafe { problem.blocks(most, blocks) };
    let work = unsafe { memory.add(block_bytes).cast::<f32>() };
    let share = may_share && block_count * problem.kv_heads * pieces < FEW_GROUPS;
    let states = if share {
        unsafe { work.add(work_floats) }
    } else {
        core::ptr::null_mut()
    };
    Plan {
        blocks,
        block_count,
        heads,
        pieces,
        spans,
        work,
        states,
    }
}
