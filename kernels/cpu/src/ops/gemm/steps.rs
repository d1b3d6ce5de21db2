//! The order in which a product is computed: blocks of depth; of each, groups of columns and of rows
//! that are packed once and kept; of those, steps of a few columns and rows.
//!
//! A step packs what has not been packed for the steps before it, then adds its tiles. What the next
//! step packs is small enough to be brought into the second cache meanwhile.

use super::multiply::Arithmetic;
use super::pack::Packing;
use super::tile::{tile_rows, tile_vectors};
use super::{Operand, Product};
use crate::simd::Isa;

/// Units of a block of depth, at most: a panel of a stays in the first cache.
const MAX_UNITS: usize = 384;
/// What lengths of blocks are multiples of: units that packing turns at a time.
const UNITS_AT_ONCE: usize = 16;
/// Lines of an operand that a thread keeps packed.
const GROUP: usize = 1152;
/// Lines of an operand that a step packs, at most: both operands stay in the second cache.
const STEP: usize = 288;

/// Rows and columns of a tile.
#[derive(Clone, Copy)]
pub struct Tile {
    pub rows: usize,
    pub columns: usize,
}

impl Tile {
    pub fn of(isa: Isa) -> Tile {
        let lanes = isa.lanes();
        Tile {
            rows: tile_rows(lanes),
            columns: tile_vectors(lanes) * lanes,
        }
    }
}

/// Units of a block where there are `units` in all.
pub fn block_units(units: usize) -> usize {
    let even = units.div_ceil(units.div_ceil(MAX_UNITS));
    even.next_multiple_of(UNITS_AT_ONCE).min(units)
}

/// Lines of an operand, cut into steps and groups of steps.
#[derive(Clone, Copy)]
struct Lines {
    count: usize,
    /// Lines of a step: whole panels.
    step: usize,
    /// Lines of a group: whole steps.
    group: usize,
}

impl Lines {
    /// Cuts lines; `others` are those of the other operand.
    fn new(count: usize, width: usize, others: usize) -> Lines {
        let step = count.div_ceil(count.div_ceil(STEP)).next_multiple_of(width);
        // What one step multiplies with all there is need not be kept.
        let kept = if others > STEP {
            GROUP / step * step
        } else {
            step
        };
        Lines {
            count,
            step,
            group: kept.min(count.next_multiple_of(step)),
        }
    }

    /// Where the group of a line begins.
    fn group_of(&self, line: usize) -> usize {
        line / self.group * self.group
    }

    /// The line after `line`, one step on, where it is in the same group.
    fn next_in_group(&self, line: usize) -> Option<usize> {
        let next = line + self.step;
        (next < self.count && self.group_of(next) == self.group_of(line)).then_some(next)
    }

    /// Where the next group begins.
    fn next_group(&self, line: usize) -> Option<usize> {
        let next = self.group_of(line) + self.group;
        (next < self.count).then_some(next)
    }

    fn in_step(&self, line: usize) -> usize {
        self.step.min(self.count - line)
    }
}

/// One step: from which row, column and unit on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Step {
    pub row: usize,
    pub column: usize,
    pub unit: usize,
}

/// All steps of a product.
pub struct Steps<'a> {
    pub product: &'a Product,
    pub arithmetic: Arithmetic,
    pub tile: Tile,
    /// Units in all, and of a block.
    units: usize,
    block: usize,
    rows: Lines,
    columns: Lines,
}

impl<'a> Steps<'a> {
    /// The steps of a product that has rows, columns and depth.
    pub fn new(isa: Isa, product: &'a Product) -> Steps<'a> {
        let tile = Tile::of(isa);
        let arithmetic = Arithmetic::of(isa, product.brain);
        let units = product.depth.div_ceil(arithmetic.unit_depth());
        Steps {
            product,
            arithmetic,
            tile,
            units,
            block: block_units(units),
            rows: Lines::new(product.rows, tile.rows, product.columns),
            columns: Lines::new(product.columns, tile.columns, product.rows),
        }
    }

    /// Floats that packed groups of a and of b take.
    pub fn packed_floats(&self) -> (usize, usize) {
        let b = if self.product.b_packed {
            0
        } else {
            self.columns.group
        };
        (self.rows.group * self.block, b * self.block)
    }

    /// The first step.
    pub fn first(&self) -> Step {
        Step {
            row: 0,
            column: 0,
            unit: 0,
        }
    }

    /// The step after another: rows of a group change first, then its columns, then groups, then depth.
    pub fn after(&self, step: Step) -> Option<Step> {
        let Step { row, column, unit } = step;
        if let Some(row) = self.rows.next_in_group(row) {
            return Some(Step { row, ..step });
        }
        let first = self.rows.group_of(row);
        if let Some(column) = self.columns.next_in_group(column) {
            return Some(Step {
                row: first,
                column,
                unit,
            });
        }
        let column = self.columns.group_of(column);
        if let Some(row) = self.rows.next_group(row) {
            return Some(Step { row, column, unit });
        }
        if let Some(column) = self.columns.next_group(column) {
            return Some(Step {
                row: 0,
                column,
                unit,
            });
        }
        let unit = unit + self.block;
        (unit < self.units).then_some(Step {
            row: 0,
            column: 0,
            unit,
        })
    }

    /// Rows, columns and units of a step.
    pub fn size(&self, step: Step) -> (usize, usize, usize) {
        let (rows, columns) = (&self.rows, &self.columns);
        let units = self.block.min(self.units - step.unit);
        (rows.in_step(step.row), columns.in_step(step.column), units)
    }

    /// How many lines of a and of b are kept packed before those of a step.
    pub fn before(&self, step: Step) -> (usize, usize) {
        let (rows, columns) = (&self.rows, &self.columns);
        let column = step.column - columns.group_of(step.column);
        (step.row - rows.group_of(step.row), column)
    }

    /// What a step packs of a and of b, into groups that lie at `to`.
    pub fn jobs(&self, step: Step, to: (*mut f32, *mut f32)) -> [Packing; 2] {
        let (rows, columns, units) = self.size(step);
        let (before_row, before_column) = self.before(step);
        let one_group = self.rows.group >= self.rows.count;
        let a_is_kept = before_column > 0 || (one_group && step.column > 0);
        let b_is_kept = step.row > 0 || self.product.b_packed;
        let job = |operand: Operand, width, to: *mut f32, (first, count), before| Packing {
            operand,
            arithmetic: self.arithmetic,
            width,
            first_line: first,
            end_line: first + count,
            depth: self.product.depth,
            first_unit: step.unit,
            units,
            to: to.wrapping_add(before * units),
        };
        let rows = (step.row, if a_is_kept { 0 } else { rows });
        let columns = (step.column, if b_is_kept { 0 } else { columns });
        [
            job(self.product.a, self.tile.rows, to.0, rows, before_row),
            job(
                self.product.b,
                self.tile.columns,
                to.1,
                columns,
                before_column,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::isa;
    use std::collections::BTreeSet;

    fn product(rows: usize, columns: usize, depth: usize) -> Product {
        let operand = Operand {
            address: core::ptr::null(),
            half: false,
            line_stride: depth,
            depth_stride: 1,
        };
        Product {
            out: core::ptr::null_mut(),
            a: operand,
            b: operand,
            rows,
            columns,
            depth,
            out_stride: columns,
            accumulate: false,
            brain: false,
            b_packed: false,
        }
    }

    #[test]
    fn steps_cover_a_product_once_and_find_all_of_their_operands_packed() {
        for (rows, columns, depth) in [
            (1, 1, 1),
            (529, 31, 385),
            (2100, 5000, 10),
            (5000, 700, 800),
        ] {
            let product = product(rows, columns, depth);
            let steps = Steps::new(isa(), &product);
            let (mut covered, mut kept) = (0, [BTreeSet::new(), BTreeSet::new()]);
            let mut next = Some(steps.first());
            while let Some(step) = next {
                let (rows, columns, units) = steps.size(step);
                covered += rows * columns * units;
                let base = core::ptr::null_mut();
                let places = [(step.row, rows), (step.column, columns)];
                let before = steps.before(step);
                for ((job, kept), (place, before)) in steps
                    .jobs(step, (base, base))
                    .iter()
                    .zip(&mut kept)
                    .zip([(places[0], before.0), (places[1], before.1)])
                {
                    if job.first_line < job.end_line {
                        kept.retain(|&(at, _)| at != before);
                        kept.insert((before, (step.unit, job.first_line, job.end_line)));
                    }
                    let wanted = (step.unit, place.0, place.0 + place.1);
                    assert!(kept.contains(&(before, wanted)), "{step:?}: {kept:?}");
                }
                next = steps.after(step);
            }
            assert_eq!(covered, rows * columns * depth);
        }
    }
}
