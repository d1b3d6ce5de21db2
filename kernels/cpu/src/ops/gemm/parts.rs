//! How the output of a product is shared out over threads: a grid of ranges of rows and columns.
//!
//! No cut changes a bit of an element, so the grid may follow the number of threads.

use super::Product;
use super::steps::{Steps, Tile};
use crate::simd::Isa;

/// Multiplications below which a part is not worth waking a thread.
const SMALLEST: usize = 1 << 18;

/// Multiplications in the time of which a number is packed.
const PACKING: usize = 24;
/// Floats of a cache line: where the scratch of a part begins.
const LINE_FLOATS: usize = 16;

/// A grid of parts.
pub struct Parts {
    /// Rows and columns of the product, and of a part: whole tiles.
    size: (usize, usize),
    part: (usize, usize),
    /// Floats of scratch of a part.
    floats: usize,
    tile: Tile,
}

/// One part as a product of its own.
pub struct Part {
    pub product: Product,
    /// Where in the packed b its columns begin, and how many that has, whole panels.
    pub packed_column: usize,
    pub packed_columns: usize,
}

impl Parts {
    /// As many parts as threads, or fewer: the grid whose largest part takes least time.
    pub fn of(isa: Isa, product: &Product, threads: usize) -> Parts {
        let tile = Tile::of(isa);
        let Product { rows, columns, .. } = *product;
        let work = rows.saturating_mul(columns).saturating_mul(product.depth);
        let wanted = threads.min(work / SMALLEST).max(1);
        let cut = |lines: usize, width: usize, parts: usize| {
            lines.div_ceil(width).div_ceil(parts) * width
        };
        let part = (1..=wanted)
            .map(|down| {
                (
                    cut(rows, tile.rows, down),
                    cut(columns, tile.columns, wanted / down),
                )
            })
            .min_by_key(|&(rows, columns)| rows * columns + PACKING * (rows + columns));
        let (part_rows, part_columns) = part.unwrap_or((rows, columns));
        let mut parts = Parts {
            size: (rows, columns),
            part: (part_rows, part_columns),
            floats: 0,
            tile,
        };
        parts.floats = (0..parts.count())
            .map(|index| {
                let part = parts.part(product, index);
                let (a, b) = Steps::new(isa, &part.product).packed_floats();
                (a + b).next_multiple_of(LINE_FLOATS)
            })
            .max()
            .unwrap_or(0);
        parts
    }

    /// How many parts there are.
    pub fn count(&self) -> usize {
        self.size.0.div_ceil(self.part.0) * self.size.1.div_ceil(self.part.1)
    }

    /// Floats of scratch that a part takes, at most.
    pub fn packed_floats(&self) -> usize {
        self.floats
    }

    /// One of them.
    pub fn part(&self, product: &Product, index: usize) -> Part {
        let down = self.size.0.div_ceil(self.part.0);
        let (row, column) = (index % down * self.part.0, index / down * self.part.1);
        let mut part = *product;
        part.rows = self.part.0.min(product.rows - row);
        part.columns = self.part.1.min(product.columns - column);
        let at = row * product.out_stride + column;
        part.out = product.out.wrapping_add(at);
        part.a = product.a.lines_from(row);
        if !product.b_packed {
            part.b = product.b.lines_from(column);
        }
        Part {
            product: part,
            packed_column: column,
            packed_columns: product.columns.next_multiple_of(self.tile.columns),
        }
    }
}
