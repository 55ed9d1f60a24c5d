/** The file format of an output: the names of the files, and the place of everything in them, before a tensor is computed. */
import type { ShardLayout } from "../../formats/safetensors-layout.js";
import type { TensorInfo } from "../../formats/tensor-info.js";

export interface Container {
  /** Bare name of the file with this index, counted from 0. */
  fileName(index: number, count: number): string;
  /**
   * Lays out one file.
   * @param metadata of the file.
   * @throws {WeightDiffError} FORMAT_UNSUPPORTED for a name that the format cannot hold; LIMIT for a header that no reader accepts.
   */
  layOut(
    tensors: readonly Pick<TensorInfo, "name" | "dtype" | "shape">[],
    about: { readonly name: string; readonly metadata: ReadonlyMap<string, string> },
  ): ShardLayout;
  /** The index of several files. @param weightMap tensor -> file. @param totalSize bytes of all tensors. */
  index(weightMap: ReadonlyMap<string, string>, totalSize: number): { readonly file: string; readonly text: string };
}
