//! Tiles: what the two products of attention work on at a time.

/// Positions of a tile; tiles are anchored at position 0.
pub const TILE: usize = 64;

/// Where the rows of the tile's positions begin.
pub type Rows = [*const u8; TILE];

/// How many of the queries left share the registers next: three, whose twelve sums fill sixteen
/// registers together with the operands, or two where that leaves none alone. WebAssembly's compilers
/// do better with room to spare.
#[inline(always)]
pub fn together(left: usize) -> usize {
    match left {
        1 => 1,
        2 | 4 => 2,
        _ if cfg!(target_arch = "wasm32") => 2,
        _ => 3,
    }
}
