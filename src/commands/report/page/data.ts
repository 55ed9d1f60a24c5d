/** What the page is given, as JSON: written by html.ts, read in the browser. Columns, so that names of fields are not told for each of 60,000 tensors. */

export interface PageFigures {
  /** Share of the compared elements that changed; null where none was compared. */
  readonly changed: number | null;
  /** Relative to the base; of a diff alone, the root mean square of the differences. */
  readonly moved: number | null;
  readonly largest: number | null;
  readonly cosine: number | null;
  readonly bits: number | null;
  readonly baseNorm: number | null;
  readonly tunedNorm: number | null;
  readonly elements: number;
}

export type PageFigure = keyof PageFigures;

/** The same of many. */
export type PageColumns = { readonly [K in PageFigure]: readonly PageFigures[K][] };

export interface PageData {
  /** Null for a diff alone: what hangs on the base's values is null then, and what "changed" is what is not zero. */
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
    /** Place in `layers`, and in `modules`; -1 for what lies in no layer. */
    readonly layer: readonly number[];
    readonly module: readonly number[];
    readonly dtype: readonly string[];
    readonly baseDtype: readonly (string | null)[];
    readonly shape: readonly (readonly number[])[];
    readonly newRows: readonly number[];
    /** Places of those whose difference holds NaN or infinities: figures of it are null. */
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
      /** Null for what is no number. */
      readonly norm: number | null;
      readonly relative: number | null;
    }[];
  }[];
}
