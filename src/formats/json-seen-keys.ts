/** Which keys an object has had: a key that occurs twice is refused. */

/** Most objects have a handful of keys, which a list tells apart sooner than a set. */
const FEW_KEYS = 8;

/** The keys of one object. */
export class SeenKeys {
  readonly #list: string[];
  #many: Set<string> | null = null;

  /** @param first some keys that it has, all different, and few. */
  constructor(first: string[]) {
    this.#list = first;
  }

  get size(): number {
    return this.#many?.size ?? this.#list.length;
  }

  /** All keys in order, if they are few; else none. */
  get few(): readonly string[] {
    return this.#many === null ? this.#list : [];
  }

  /** @returns is it a new one? */
  add(key: string): boolean {
    if (this.#many?.has(key) ?? this.#list.includes(key)) {
      return false;
    }
    if (this.#list.length < FEW_KEYS) {
      this.#list.push(key);
    } else {
      this.#many ??= new Set(this.#list);
      this.#many.add(key);
    }
    return true;
  }
}
