/** The values of a pickle: numbers, strings, containers, and records of the calls that Python would have made. None of them can act. */

type PickleKey = string | number | bigint;
export type PickleValue = null | boolean | number | bigint | string | PickleObject;
type PickleObject = PickleTuple | PickleList | PickleDict | PickleGlobal | PickleCall | PicklePersistent | PickleOpaque;
export interface PickleTuple {
  readonly kind: "tuple";
  readonly items: readonly PickleValue[];
}
export interface PickleList {
  readonly kind: "list";
  items: PickleValue[];
}
/** A dict or an OrderedDict. */
export interface PickleDict {
  readonly kind: "dict";
  entries: Map<PickleKey, PickleValue>;
}
/** A name such as "torch.FloatStorage". */
export interface PickleGlobal {
  readonly kind: "global";
  readonly name: string;
}
/** A call that Python would have made. */
export interface PickleCall {
  readonly kind: "call";
  readonly name: string;
  readonly args: readonly PickleValue[];
}
/** A reference out of the pickle, to a storage. */
export interface PicklePersistent {
  readonly kind: "persistent";
  readonly id: PickleValue;
}
/** A value that nobody needs: a float (sizes are integers, so it is kept apart), or bytes. */
export interface PickleOpaque {
  readonly kind: "opaque";
}

export function isKind<K extends PickleObject["kind"]>(
  value: PickleValue | undefined,
  kind: K,
): value is Extract<PickleObject, { readonly kind: K }> {
  return typeof value === "object" && value !== null && value.kind === kind;
}
