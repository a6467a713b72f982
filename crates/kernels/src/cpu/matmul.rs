//! Matrix products, after Goto and van de Geijn, "Anatomy of High-Performance Matrix
//! Multiplication" (2008):
//!
//! ```text
//! for each block of rows, block of columns, block of depth:      (sized for the caches)
//!     pack the side that has fewer lanes into panels             (all threads)
//!     for each group of lanes of the other side:                 (a task)
//!         pack it into panels                                    (of the thread)
//!         for each panel x panel: one tile in registers
//! ```
//!
//! The three products of a layer differ only in how their sides are packed. Where there are few
//! rows, `matmul_stream.rs` does it. Every element is summed in the same order on both roads, block
//! of depth after block of depth, so a row of the result depends neither on the number of threads
//! nor on the rows beside it.

use crate::backend::Before;
use crate::cpu::bf16_choice;
use crate::cpu::machine::{Machine, Scratch};
use crate::cpu::matmul_blocks;
use crate::cpu::matmul_pack::{Along, Elements, Side};
use crate::cpu::matmul_plan::Product;
use crate::cpu::matmul_result::Elements as Out;
use crate::cpu::matmul_stream;
use crate::cpu::matmul_tiles;
use crate::cpu::packed_product;
use crate::cpu::packed_tiles;
use crate::dtype::DType;
use crate::host_memory;
use crate::view::View;

/// `out[t, o] = Σ_i x[t, i] · w[o, i]`
pub fn forward(machine: &Machine, scratch: &mut Scratch, out: View, x: View, w: View) {
    if w.dtype.is_packed() {
        return forward_packed(machine, scratch, &[(out, w)], x);
    }
    let product = product(machine, (&x, Along::Depth), (&w, Along::Depth), false);
    run(&product, machine, scratch, out);
}

/// As [`forward`] of every `(out, w)`.
pub fn forward_all(machine: &Machine, scratch: &mut Scratch, products: &[(View, View)], x: View) {
    for products in products.chunk_by(|(_, one), (_, other)| one.dtype == other.dtype) {
        match products {
            [(_, w), ..] if w.dtype.is_packed() => {
                forward_packed(machine, scratch, products, x);
            }
            plain => plain.iter().for_each(|&(out, w)| forward(machine, scratch, out, x, w)),
        }
    }
}

/// With packed weights of one dtype.
fn forward_packed(machine: &Machine, scratch: &mut Scratch, products: &[(View, View)], x: View) {
    if x.rows == 0 || x.columns == 0 {
        // SAFETY: the outputs of the running operation.
        return products.iter().for_each(|(out, _)| unsafe { out.f32s_mut() }.fill(0.0));
    }
    match machine.instructions.tiles() {
        Some(tiles) if products[0].1.dtype == DType::PackedBf16 => {
            packed_tiles::forward(tiles, machine, scratch, products, x);
        }
        _ => packed_product::forward(machine, scratch, products, x),
    }
}

/// `d_x[t, i] += Σ_o d_out[t, o] · w[o, i]`
pub fn backward_input(
    machine: &Machine,
    scratch: &mut Scratch,
    d_x: View,
    (d_out, w): (View, View),
    before: Before,
) {
    let add = before == Before::Others;
    let product = product(machine, (&d_out, Along::Depth), (&w, Along::Lanes), add);
    run(&product, machine, scratch, d_x);
}

/// `d_w[o, i] += Σ_t d_out[t, o] · x[t, i]`
pub fn backward_weight(
    machine: &Machine,
    scratch: &mut Scratch,
    d_w: View,
    (d_out, x): (View, View),
    before: Before,
) {
    let add = before == Before::Others;
    let product = product(machine, (&d_out, Along::Lanes), (&x, Along::Lanes), add);
    run(&product, machine, scratch, d_w);
}

/// Pairs where both sides are bf16 and the processor gains by them.
fn product<'a>(
    machine: &Machine,
    left: (&View, Along),
    right: (&View, Along),
    add: bool,
) -> Product<'a> {
    let pairs = || Some((side_of_pairs(left)?, side_of_pairs(right)?));
    let tiles = machine.instructions.tiles();
    if tiles.is_some()
        && let Some((left, right)) = pairs()
    {
        return Product { left, right, add, dots: None, tiles };
    }
    if let Some(dots) = bf16_choice::dots(machine.instructions)
        && let Some((left, right)) = pairs()
    {
        return Product { left, right, add, dots: Some(dots), tiles: None };
    }
    Product { left: side(left), right: side(right), add, dots: None, tiles: None }
}

fn side<'a>((view, along): (&View, Along)) -> Side<'a> {
    let (lanes, depth) = match along {
        Along::Depth => (view.rows, view.columns),
        Along::Lanes | Along::LanesOfPairs => (view.columns, view.rows),
    };
    // SAFETY: an input of the running operation.
    let elements = unsafe {
        match view.dtype {
            DType::F32 => Elements::F32(view.f32s()),
            DType::Bf16 => Elements::Bf16(view.bf16s()),
            packed => panic!("{packed:?} weights have no gradients"),
        }
    };
    Side { elements, along, stride: view.columns, lanes, depth }
}

/// A side as pairs of depth; none where it is not bf16, or where a row would end inside a pair.
fn side_of_pairs<'a>((view, along): (&View, Along)) -> Option<Side<'a>> {
    let single = side((view, along));
    let Elements::Bf16(x) = single.elements else { return None };
    match along {
        Along::Depth if view.columns % 2 == 0 => {
            let elements = Elements::F32(bytemuck::try_cast_slice(x).ok()?);
            Some(Side { elements, stride: view.columns / 2, depth: view.columns / 2, ..single })
        }
        Along::Depth => None,
        Along::Lanes | Along::LanesOfPairs => {
            let (along, depth) = (Along::LanesOfPairs, single.depth.div_ceil(2));
            Some(Side { along, depth, ..single })
        }
    }
}

fn run(product: &Product, machine: &Machine, scratch: &mut Scratch, out: View) {
    if product.left.depth == 0 {
        return if !product.add {
            host_memory::clear(out)
        };
    }
    // SAFETY: the output of the running operation.
    let result = unsafe { Out::of(&out) };
    if let Some(tiles) = product.tiles {
        return matmul_tiles::run(tiles, product, machine, scratch, result);
    }
    if matmul_stream::are_few(machine, product.left.lanes) {
        return matmul_stream::run(product, machine, &mut scratch.left, result);
    }
    matmul_blocks::run(product, machine, scratch, (result, out.columns));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::instructions::Instructions;
    use crate::cpu::path::CpuPath;
    use crate::cpu::tiles::Tiles;
    use crate::cpu::tiles_model::Model;
    use crate::dtype::DType;
    use crate::view::Address;
    use half::bf16;
    use std::ptr::NonNull;

    fn view<T>(x: &mut [T], columns: usize) -> View {
        let address = Address(NonNull::new(x.as_mut_ptr().cast()).unwrap());
        let dtype = if size_of::<T>() == 2 { DType::Bf16 } else { DType::F32 };
        View { address, rows: x.len() / columns, columns, dtype, read_only: false }
    }

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i * 37 % 101) as f32 / 101.0 - 0.5).collect()
    }

    fn is_the_same_in_every_company<T>(mut x: Vec<T>, mut w: Vec<T>, inputs: usize) {
        let outputs = w.len() / inputs;
        for path in CpuPath::available() {
            let machine = Machine::new(2, path).unwrap();
            let mut product = |rows: usize| {
                let mut out = vec![0f32; rows * outputs];
                let (x, w) = (view(&mut x[..rows * inputs], inputs), view(&mut w, inputs));
                forward(&machine, &mut machine.scratch(), view(&mut out, outputs), x, w);
                out
            };
            let crowd = product(200);
            for rows in [1, 2, 5, 14, 15, 42, 43, 100] {
                assert!(product(rows) == crowd[..rows * outputs], "{path:?} {rows} rows");
            }
        }
    }

    #[test]
    fn a_row_is_the_same_alone_in_a_small_company_and_in_a_crowd() {
        let (x, w, inputs) = (numbers(200 * 1500), numbers(45 * 1500), 1500);
        is_the_same_in_every_company(x.clone(), w.clone(), inputs);
        let halves = |x: Vec<f32>| x.into_iter().map(bf16::from_f32).collect::<Vec<_>>();
        is_the_same_in_every_company(halves(x), halves(w), inputs);
    }

    fn in_tiles<T: Tiles>(
        tiles: T,
        (machine, add): (&Machine, bool),
        left: (&mut Vec<bf16>, usize, Along),
        right: (&mut Vec<bf16>, usize, Along),
        out: View,
    ) {
        let left = side_of_pairs((&view(left.0, left.1), left.2)).unwrap();
        let right = side_of_pairs((&view(right.0, right.1), right.2)).unwrap();
        let product = Product { left, right, add, dots: None, tiles: None };
        // SAFETY: nobody else uses it.
        let result = unsafe { Out::of(&out) };
        matmul_tiles::run(tiles, &product, machine, &mut machine.scratch(), result);
    }

    fn halves(rows: usize, columns: usize, seed: usize) -> Vec<bf16> {
        let number = |i: usize| ((i + seed) * 37 % 101) as f32 / 101.0 - 0.5;
        (0..rows * columns).map(number).map(bf16::from_f32).collect()
    }

    /// Element (lane, k) of a side.
    fn at(x: &[bf16], columns: usize, along: Along, lane: usize, k: usize) -> f64 {
        let place = if along == Along::Depth { lane * columns + k } else { k * columns + lane };
        f64::from(x[place].to_f32())
    }

    /// One product in tiles; the result in f32 and in bf16 after it was checked against sums in f64.
    fn checked<T: Tiles>(
        tiles: T,
        (path, threads): (CpuPath, usize),
        (rows, outputs, depth): (usize, usize, usize),
        (left_along, right_along): (Along, Along),
        add: bool,
    ) -> (Vec<f32>, Vec<bf16>) {
        let machine = Machine::new(threads, path).unwrap();
        let of = |lanes: usize, along: Along, seed| match along {
            Along::Depth => (halves(lanes, depth, seed), depth),
            _ => (halves(depth, lanes, seed), lanes),
        };
        let (mut left, left_columns) = of(rows, left_along, 1);
        let (mut right, right_columns) = of(outputs, right_along, 2);
        let begin = |i: usize| if add { (i % 13) as f32 } else { f32::NAN };
        let mut wide: Vec<f32> = (0..rows * outputs).map(begin).collect();
        let mut short: Vec<bf16> = wide.iter().map(|&x| bf16::from_f32(x)).collect();
        for out in [view(&mut wide, outputs), view(&mut short, outputs)] {
            let left = (&mut left, left_columns, left_along);
            let right = (&mut right, right_columns, right_along);
            in_tiles(tiles, (&machine, add), left, right, out);
        }
        for (i, (&found, &rounded)) in wide.iter().zip(&short).enumerate() {
            let (row, column) = (i / outputs, i % outputs);
            let terms = (0..depth).map(|k| {
                at(&left, left_columns, left_along, row, k)
                    * at(&right, right_columns, right_along, column, k)
            });
            let expected = terms.sum::<f64>() + if add { f64::from(begin(i)) } else { 0.0 };
            let case = format!("{path:?} {rows} x {outputs} x {depth} {add}, {row}, {column}");
            assert!(
                (f64::from(found) - expected).abs() < 1e-6 * depth as f64,
                "{case}: {found}, {expected}"
            );
            assert_eq!(rounded, bf16::from_f32(found), "{case}, rounded");
        }
        (wide, short)
    }

    #[test]
    fn products_in_tiles_are_right_in_every_layout_and_alike_on_any_number_of_threads() {
        let layouts = [
            (Along::Depth, Along::Depth),
            (Along::Depth, Along::Lanes),
            (Along::Lanes, Along::Lanes),
        ];
        let sizes =
            [(1, 1, 2), (5, 70, 62), (33, 31, 34), (64, 100, 256), (100, 33, 1090), (40, 2100, 36)];
        for (path, layout) in CpuPath::available().into_iter().flat_map(|p| layouts.map(|l| (p, l)))
        {
            for (sizes, add) in sizes.into_iter().flat_map(|sizes| [(sizes, false), (sizes, true)])
            {
                let one = checked(Model, (path, 1), sizes, layout, add);
                assert!(checked(Model, (path, 3), sizes, layout, add) == one, "{path:?} {sizes:?}");
                if let Some(tiles) = Instructions::checked(path).unwrap().tiles() {
                    assert!(checked(tiles, (path, 3), sizes, layout, add) == one, "{sizes:?}");
                }
            }
        }
    }

    #[test]
    fn a_row_in_tiles_is_the_same_alone_and_in_a_crowd() {
        let (path, layout) = (CpuPath::detected(), (Along::Depth, Along::Depth));
        let (outputs, depth) = (45, 1500);
        let (crowd, _) = checked(Model, (path, 2), (200, outputs, depth), layout, false);
        for rows in [1, 2, 16, 17, 32, 33, 100] {
            let (found, _) = checked(Model, (path, 2), (rows, outputs, depth), layout, false);
            assert!(found == crowd[..rows * outputs], "{rows} rows");
        }
    }
}
