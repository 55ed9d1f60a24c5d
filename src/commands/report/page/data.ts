/**
 * The JSON that the page gets: written by html.ts, read in the browser. It has columns, so that field names are not repeated for each of
 * 60,000 tensors.
 */

export interface PageFigures {
  /** Share of the compared elements that changed; null if none was compared. */
  readonly changed: number | null;
  /** Relative to the base; for a diff alone, the root mean square of the differences. */
  readonly moved: number | null;
  readonly largest: number | null;
  readonly cosine: number | null;
  readonly bits: number | null;
  readonly baseNorm: number | null;
  readonly tunedNorm: number | null;
  readonly elements: number;
}

export type PageFigure = keyof PageFigures;

/** The figures of many tensors, as columns. */
export type PageColumns = { readonly [K in PageFigure]: readonly PageFigures[K][] };

export interface PageData {
  /** Null for a diff alone. Figures that need the base's values are then null, and "changed" counts what is not zero. */
  readonly base: string | null;
  readonly path: string;
  readonly scheme: string | null;
  readonly total: PageFigures & {
    readonly changedElements: number;
    readonly compared: number;
    readonly steps: readonly number[] | null;
  };
  readonly tensors: PageColumns & {
    readonly name: readonly string[];
    /** Index in `layers` and in `modules`; -1 for a tensor outside the layers. */
    readonly layer: readonly number[];
    readonly module: readonly number[];
    readonly dtype: readonly string[];
    readonly baseDtype: readonly (string | null)[];
    readonly shape: readonly (readonly number[])[];
    readonly newRows: readonly number[];
    /** Indexes of tensors whose difference holds NaN or infinities. Their figures are null. */
    readonly noNumber: readonly number[];
  };
  readonly layers: readonly number[];
  readonly modules: readonly {
    readonly name: string;
    readonly tensors: number;
    readonly steps: readonly number[] | null;
  }[];
  readonly embeddings: readonly {
    readonly name: string;
    readonly tokens: readonly {
      readonly row: number;
      readonly token: string | null;
      /** Null for a value that is not finite. */
      readonly norm: number | null;
      readonly relative: number | null;
    }[];
  }[];
}
