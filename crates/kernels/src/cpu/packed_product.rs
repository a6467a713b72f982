//! Rows of activations times a packed weight.
//!
//! ```text
//! round all rows of x once, tile after tile             (all threads, `packed_round.rs`)
//! for each group of rows x group of panels:                                  (a task)
//!     for each piece of the depth:      the rows of a piece fit the second-level cache
//!         for each panel:               its piece comes from memory into the first-level cache
//!             for each tile of rows: one tile in registers              (`packed_tile.rs`)
//! ```
//!
//! Few rows take one panel after the other instead (`packed_stream.rs`). An element of the result is the
//! chain of its blocks in the order of the depth on either road, so a row depends neither on the number
//! of threads nor on the rows beside it.

use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::matmul_plan::group_of;
use crate::cpu::packed_format::Format;
use crate::cpu::packed_group::{Group, Product, Rows};
use crate::cpu::packed_instructions::{PackedKernel, run};
use crate::cpu::packed_round::{Plain, Source, round};
use crate::cpu::packed_stream;
use crate::cpu::threads::SharedMut;
use crate::dtype::DType;
use crate::packed_layout::BLOCK;
use crate::view::View;

/// Rows of a group.
const GROUP_ROWS: usize = 512;
/// Words of rows that may be few: they stay in the second-level cache whatever the order.
const FEW_WORDS: usize = 48 << 10;
/// Panels of a group.
const GROUP_PANELS: usize = 8;

/// `out[t, o] = Σ_i x[t, i] · w[o, i]` of every `(out, w)`; the weights are of one dtype, and there are
/// rows and columns.
pub fn forward(machine: &Machine, scratch: &mut Scratch, products: &[(View, View)], x: View) {
    // SAFETY: the input of the running operation.
    let rows = Plain { x: unsafe { x.f32s() }, columns: x.columns };
    forward_of(machine, scratch, products, rows);
}

/// As [`forward`], of any rows.
pub fn forward_of(
    machine: &Machine,
    scratch: &mut Scratch,
    products: &[(View, View)],
    source: impl Source,
) {
    let (dtype, (count, columns)) = (products[0].1.dtype, source.size());
    let rows = run(machine.instructions, dtype, Plan { count, columns });
    let x = round(machine, &mut scratch.left, source, rows, dtype);
    let products = products.iter().map(|(out, w)| {
        // SAFETY: the outputs and inputs of the running operation.
        let (weights, out) = unsafe { (w.panels(), SharedMut::new(out.f32s_mut())) };
        Product { weights, x, rows, outputs: w.rows, out }
    });
    if are_few(rows.count, rows.blocks, rows.words) {
        return packed_stream::forward(machine, products, dtype);
    }
    products.for_each(|product| many_rows(machine, product, dtype));
}

fn many_rows(machine: &Machine, product: Product, dtype: DType) {
    let rows = product.rows;
    // Fewer panels where the weight is too small to keep all threads busy to the end.
    let group = (product.panels() / (4 * machine.pool.threads())).clamp(1, GROUP_PANELS);
    // Groups alike: the last of them would be slim else, and read all of the weight for a few rows.
    let row_tiles = rows.tiles().div_ceil(rows.count.div_ceil(GROUP_ROWS));
    let (across, down) = (product.panels().div_ceil(group), rows.tiles().div_ceil(row_tiles));
    machine.pool.run(across * down, &|task, _| {
        let panels = group_of(&(0..product.panels()), group, task % across);
        let tiles = group_of(&(0..rows.tiles()), row_tiles, task / across);
        run(machine.instructions, dtype, Group { product, panels, tiles });
    });
}

/// Decides how rounded rows lie in memory.
struct Plan {
    count: usize,
    columns: usize,
}

impl PackedKernel for Plan {
    type Output = Rows;

    #[inline(always)]
    fn run<F: Format>(self, _: F) -> Rows {
        let Plan { count, columns } = self;
        let blocks = columns.div_ceil(BLOCK);
        let few = are_few(count, blocks, F::WORDS);
        let most = if few { F::TILE_ROWS } else { F::TILE_OF_MANY };
        Rows { count, tile: count.div_ceil(count.div_ceil(most)), blocks, words: F::WORDS }
    }
}

fn are_few(rows: usize, blocks: usize, words: usize) -> bool {
    rows * blocks * words <= FEW_WORDS
}
