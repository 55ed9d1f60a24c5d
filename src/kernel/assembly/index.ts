/**
 * The SIMD kernel (AssemblyScript): the functions of src/kernel/kernel.ts over an imported memory of fixed size. It allocates nothing; all
 * state lies where the caller puts it. scalar.ts is its oracle; both give the same bits.
 */

/** The first byte that belongs to the caller. The bytes below belong to the module. */
export const BASE: u32 = 4096;

export { add } from "./add";
export { addSummed } from "./add-summed";
export { ADD, ADD_NEGATED, BF16, F16, F32, F64, SUBTRACT } from "./bits";
export { decodeUnits } from "./decode";
export { encodeTokens } from "./encode";
export { addIntegers, countDifferent, xorBytes } from "./integers";
export { countSpecial } from "./special";
export { measureUnits, measureValues } from "./measure";
export { CODER_BYTES } from "./lanes";
export { meanBegin, meanBytes, meanEnd, meanPush } from "./mean";
export { multiply } from "./multiply";
export { addNarrow, narrow } from "./narrow";
export { SUM_BYTES, sumBegin, sumEnd, sumPush } from "./sum";
export { addNarrowSummed } from "./summed";
export { tokenise } from "./tokenise";
export { transpose } from "./transpose";
export { widen } from "./widen";
