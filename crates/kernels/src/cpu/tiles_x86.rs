//! Tiles in the registers of AMX (Intel, "Intel 64 and IA-32 Architectures Software Developer's Manual",
//! volume 1, chapter "Programming with Intel AMX"): the instructions, and whether they may be used. In
//! assembly, since Rust has no names for them yet.
//!
//! Registers 0 to 3 hold the sums, 4 and 5 the upper and the lower rows of the left side, 6 and 7
//! the first and the last columns of a panel. What they hold never outlives one block of assembly; only
//! their shapes do, which no compiled code touches.

use crate::cpu::tiles::{Chain, LEFT_STEP, RIGHT_STEP, SQUARE, STEP, Tiles};
use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::OnceLock;

/// A proof that this process may multiply pairs of bf16 in tiles.
#[derive(Clone, Copy, Debug)]
pub struct Amx(());

/// Rows of a tile.
const HIGH: usize = SQUARE / 2;

impl Amx {
    /// Asks the processor and, once, the system, which keeps no room for the registers before it is
    /// asked. Its permission is for all threads of the process.
    pub fn detected() -> Option<Amx> {
        static MAY: OnceLock<bool> = OnceLock::new();
        MAY.get_or_init(|| has_tiles_of_bf16() && may_use_tiles()).then_some(Amx(()))
    }

    /// Multiplies and adds in registers, four sums in turn; returns the number of products. The numbers
    /// are none that save power: a processor may slow down where many bits change.
    pub fn products(self, steps: usize) -> usize {
        let numbers: [u16; 2 * STEP * HIGH] = std::array::from_fn(|i| {
            let bits = (i as u16).wrapping_mul(40_503).rotate_left(7);
            bits & 0x80ff | 0x3f00
        });
        self.begin(SQUARE);
        // SAFETY: `self` is the proof; a tile is as large as `numbers`.
        unsafe {
            asm!(
                "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                "tileloadd tmm4, [{numbers} + {stride}]",
                "tileloadd tmm5, [{numbers} + {stride}]",
                "tileloadd tmm6, [{numbers} + {stride}]",
                "tileloadd tmm7, [{numbers} + {stride}]",
                "2:",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "dec {steps}",
                "jnz 2b",
                numbers = in(reg) numbers.as_ptr(),
                stride = in(reg) LEFT_STEP,
                steps = inout(reg) steps.max(1) => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, readonly),
            );
        }
        self.end();
        steps.max(1) * SQUARE * SQUARE * 2 * STEP
    }
}

fn has_tiles_of_bf16() -> bool {
    const BF16_AND_TILES: u32 = 1 << 22 | 1 << 24;
    // Only where AVX-512 was found has the processor this page of its description.
    is_x86_feature_detected!("avx512f")
        && __cpuid_count(7, 0).edx & BF16_AND_TILES == BF16_AND_TILES
}

/// Whether the system saves the registers, and gives this process leave to use them.
#[cfg(target_os = "linux")]
fn may_use_tiles() -> bool {
    const SHAPES_AND_TILES: u64 = 1 << 17 | 1 << 18;
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const TILES: usize = 18;
    // SAFETY: AVX-512, which was detected, cannot be used without this instruction.
    let saved = unsafe { std::arch::x86_64::_xgetbv(0) };
    if saved & SHAPES_AND_TILES != SHAPES_AND_TILES {
        return false;
    }
    let answer: isize;
    // SAFETY: a system call that reads and writes no memory of ours.
    unsafe {
        asm!(
            "syscall",
            inout("rax") ARCH_PRCTL => answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") TILES,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
fn may_use_tiles() -> bool {
    false
}

/// What is loaded as the shapes of all registers.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Shapes {
    /// A register without rows has no columns either.
    fn of(rows: usize) -> Shapes {
        let (upper, lower) = (rows.min(HIGH) as u8, rows.saturating_sub(HIGH) as u8);
        let mut shapes = Shapes {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        let all = [upper, upper, lower, lower, upper, lower, STEP as u8, STEP as u8];
        for (register, rows) in all.into_iter().enumerate() {
            shapes.rows[register] = rows;
            shapes.row_bytes[register] = if rows > 0 { LEFT_STEP as u16 } else { 0 };
        }
        shapes
    }
}

impl Tiles for Amx {
    #[inline(always)]
    fn begin(self, rows: usize) {
        assert!((1..=SQUARE).contains(&rows), "{rows} rows of a square");
        let shapes = Shapes::of(rows);
        // SAFETY: `self` is the proof; the shapes are those that the manual allows.
        unsafe {
            asm!("ldtilecfg [{shapes}]", shapes = in(reg) &raw const shapes, options(nostack, readonly));
        }
    }

    #[inline(always)]
    unsafe fn add(self, rows: usize, chain: &Chain) {
        // SAFETY: the caller's promise.
        unsafe {
            match rows > HIGH {
                true => add_square(chain),
                false => add_upper_half(chain),
            }
        }
    }

    #[inline(always)]
    fn end(self) {
        // SAFETY: `self` is the proof.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// # Safety
/// As [`Tiles::add`], for more than 16 rows.
#[inline(always)]
unsafe fn add_square(chain: &Chain) {
    let lower_sums = chain.sums.wrapping_byte_add(HIGH * chain.sums_stride);
    let lower_left = chain.left.wrapping_add(HIGH * chain.left_stride);
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "test {n}, {n}",
            "jnz 2f",
            "tileloadd tmm0, [{sums} + {sums_stride}]",
            "tileloadd tmm1, [{sums} + {sums_stride} + 64]",
            "tileloadd tmm2, [{lower_sums} + {sums_stride}]",
            "tileloadd tmm3, [{lower_sums} + {sums_stride} + 64]",
            "jmp 3f",
            "2:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "3:",
            "tileloadd tmm6, [{right} + {right_stride}]",
            "tileloadd tmm4, [{left} + {left_stride}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{right} + {right_stride} + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{lower_left} + {left_stride}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {left}, {left_step}",
            "add {lower_left}, {left_step}",
            "add {right}, {right_step}",
            "mov {n}, {lines}",
            "test {n}, {n}",
            "jz 5f",
            "4:",
            "prefetcht0 [{ahead}]",
            "add {ahead}, 64",
            "dec {n}",
            "jnz 4b",
            "5:",
            "dec {steps}",
            "jnz 3b",
            "tilestored [{sums} + {sums_stride}], tmm0",
            "tilestored [{sums} + {sums_stride} + 64], tmm1",
            "tilestored [{lower_sums} + {sums_stride}], tmm2",
            "tilestored [{lower_sums} + {sums_stride} + 64], tmm3",
            n = inout(reg) usize::from(chain.from_zero) => _,
            sums = in(reg) chain.sums,
            lower_sums = in(reg) lower_sums,
            sums_stride = in(reg) chain.sums_stride,
            left = inout(reg) chain.left => _,
            lower_left = inout(reg) lower_left => _,
            left_stride = in(reg) chain.left_stride,
            right = inout(reg) chain.right => _,
            right_stride = in(reg) RIGHT_STEP / STEP,
            steps = inout(reg) chain.steps => _,
            ahead = inout(reg) chain.ahead => _,
            lines = in(reg) chain.lines,
            left_step = const LEFT_STEP,
            right_step = const RIGHT_STEP,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// # Safety
/// As [`Tiles::add`], for at most 16 rows.
#[inline(always)]
unsafe fn add_upper_half(chain: &Chain) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "test {n}, {n}",
            "jnz 2f",
            "tileloadd tmm0, [{sums} + {sums_stride}]",
            "tileloadd tmm1, [{sums} + {sums_stride} + 64]",
            "jmp 3f",
            "2:",
            "tilezero tmm0",
            "tilezero tmm1",
            "3:",
            "tileloadd tmm4, [{left} + {left_stride}]",
            "tileloadd tmm6, [{right} + {right_stride}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{right} + {right_stride} + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "add {left}, {left_step}",
            "add {right}, {right_step}",
            "mov {n}, {lines}",
            "test {n}, {n}",
            "jz 5f",
            "4:",
            "prefetcht0 [{ahead}]",
            "add {ahead}, 64",
            "dec {n}",
            "jnz 4b",
            "5:",
            "dec {steps}",
            "jnz 3b",
            "tilestored [{sums} + {sums_stride}], tmm0",
            "tilestored [{sums} + {sums_stride} + 64], tmm1",
            n = inout(reg) usize::from(chain.from_zero) => _,
            sums = in(reg) chain.sums,
            sums_stride = in(reg) chain.sums_stride,
            left = inout(reg) chain.left => _,
            left_stride = in(reg) chain.left_stride,
            right = inout(reg) chain.right => _,
            right_stride = in(reg) RIGHT_STEP / STEP,
            steps = inout(reg) chain.steps => _,
            ahead = inout(reg) chain.ahead => _,
            lines = in(reg) chain.lines,
            left_step = const LEFT_STEP,
            right_step = const RIGHT_STEP,
            out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::tiles_model::Model;

    /// Bits of bf16, among them zeros, denormals, infinities and what is not a number if `wild`.
    fn pairs(count: usize, seed: u64, wild: bool) -> Vec<u16> {
        let mut state = seed;
        let next = || {
            state =
                state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            let bits = (state >> 40) as u16;
            // A sign, an exponent near that of one, a fraction.
            if wild { bits } else { bits & 0x807F | (120 + bits.rotate_left(5) % 12) << 7 }
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    fn added<T: Tiles>(
        tiles: T,
        rows: usize,
        steps: usize,
        wild: bool,
        from_zero: bool,
    ) -> Vec<f32> {
        const SUMS_STRIDE: usize = SQUARE + 3;
        let left = pairs(rows * (steps + 1) * LEFT_STEP / 2, 1, wild);
        let right = pairs(steps * RIGHT_STEP / 2, 2, wild);
        let mut sums: Vec<f32> = (0..SQUARE * SUMS_STRIDE).map(|i| i as f32 / 7.0).collect();
        let chain = Chain {
            sums: sums.as_mut_ptr(),
            sums_stride: 4 * SUMS_STRIDE,
            from_zero,
            left: left.as_ptr().cast(),
            left_stride: (steps + 1) * LEFT_STEP,
            right: right.as_ptr().cast(),
            steps,
            ahead: right.as_ptr().cast(),
            lines: steps % 3,
        };
        tiles.begin(rows);
        // SAFETY: all three are as large as the chain says.
        unsafe { tiles.add(rows, &chain) };
        tiles.end();
        sums
    }

    #[test]
    fn the_registers_do_what_the_model_says_bit_for_bit() {
        let Some(amx) = Amx::detected() else {
            return println!("skipped: this processor has no AMX");
        };
        for rows in [1, 2, 15, 16, 17, 31, 32] {
            for (steps, wild) in [(1, false), (2, false), (17, false), (1, true), (5, true)] {
                for from_zero in [false, true] {
                    let [found, expected] = [
                        added(amx, rows, steps, wild, from_zero),
                        added(Model, rows, steps, wild, from_zero),
                    ];
                    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
                        let same = found.to_bits() == expected.to_bits();
                        let case = format!("{rows} rows, {steps} steps, wild {wild}, sum {i}");
                        assert!(
                            same || found.is_nan() && expected.is_nan(),
                            "{case}: {found:e}, not {expected:e}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_thread_that_ran_before_leave_was_given_may_use_the_registers() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let amx: Option<Amx> = receiver.recv().unwrap();
            amx.map(|amx| added(amx, 20, 3, false, false))
        });
        let amx = Amx::detected();
        sender.send(amx).unwrap();
        assert_eq!(thread.join().unwrap(), amx.map(|_| added(Model, 20, 3, false, false)));
    }
}
