/** Which keys an object has had: a key that occurs twice is refused, and the next one is guessed from objects that were read before. */

/** Most objects have a handful of keys, which a list tells apart sooner than a set. */
const FEW_KEYS = 8;

/**
 * The keys of large objects that were read before, in order. Each list has no key twice. The steps of a chain name the same tensors in the
 * same order, and each names them three times.
 */
const known: (readonly string[])[] = [];
const MOST_KNOWN = 4;
/** Shorter lists take no time; longer ones would take memory as long as the program runs. */
const KNOWN_KEYS = { least: 256, most: 1 << 17 };

/** The keys of one object. */
export class SeenKeys {
  /** In order, as long as they may become a known list. */
  #list: string[] = [];
  /** A known list that begins with the keys so far: they are different, so nothing of their own is kept. */
  #like: readonly string[] | null = null;
  #many: Set<string> | null = null;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The key that most likely comes next. */
  get next(): string | undefined {
    return this.#like?.[this.#size];
  }

  /** @returns is it a new one? */
  add(key: string): boolean {
    if (this.#like !== null && this.#like[this.#size] === key) {
      this.#size += 1;
      return true;
    }
    if (this.#like !== null) {
      this.#list = this.#like.slice(0, this.#size);
      this.#many = new Set(this.#list);
      this.#like = null;
    }
    if (this.#many?.has(key) ?? this.#list.includes(key)) {
      return false;
    }
    this.#many?.add(key);
    this.#size += 1;
    if (this.#size <= KNOWN_KEYS.most) {
      this.#list.push(key);
    }
    if (this.#size > FEW_KEYS && this.#many === null) {
      this.#like = known.find((keys) => this.#list.every((one, index) => one === keys[index])) ?? null;
      this.#many = this.#like === null ? new Set(this.#list) : null;
    }
    return true;
  }

  /** After the last key. */
  end(): void {
    if (this.#like === null && this.#size >= KNOWN_KEYS.least && this.#size <= KNOWN_KEYS.most) {
      known.unshift(this.#list);
      known.splice(MOST_KNOWN);
    }
  }
}
