/** The file format of an output: what the files are called, and where in them everything goes, before a tensor is computed. */
import type { ShardLayout } from "../../formats/safetensors-layout.js";
import type { TensorInfo } from "../../formats/tensor-info.js";

export interface Container {
  /** Bare name of file `index`, counted from 0, of `count`. */
  fileName(index: number, count: number): string;
  /**
   * Lays out one file. @param metadata what the file says of itself.
   * @throws {WeightDiffError} FORMAT_UNSUPPORTED for a name that the format cannot hold, LIMIT for a header that nobody would read.
   */
  layOut(
    tensors: readonly Pick<TensorInfo, "name" | "dtype" | "shape">[],
    about: { readonly name: string; readonly metadata: ReadonlyMap<string, string> },
  ): ShardLayout;
  /** What goes beside several files. @param weightMap tensor -> file. @param totalSize bytes of all tensors. */
  index(weightMap: ReadonlyMap<string, string>, totalSize: number): { readonly file: string; readonly text: string };
}
