/**
 * Names that mean something else on another system. Windows: "Naming Files, Paths, and Namespaces" at learn.microsoft.com (device
 * names, characters, a dot or space at the end). macOS: APFS takes names of one Unicode normal form for the other's, and, as NTFS
 * does, upper case for lower case.
 */

/** Would Windows open a device under this name, or drop its end? */
export function isDeviceName(name: string): boolean {
  return /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)|[. ]$/i.test(name);
}

/** Does Windows allow a file of this bare name? */
export function isWindowsName(name: string): boolean {
  return !isDeviceName(name) && !/[<>:"|?*]/.test(name);
}

/** Equal for two names that are one file on a system that ignores case and normal forms. */
export function foldedName(name: string): string {
  return name.normalize("NFC").toLowerCase();
}

/** Two of the names that are equal in that way; null if there are none. */
export function twinsAmong(names: readonly string[]): readonly [string, string] | null {
  const seen = new Map<string, string>();
  for (const name of names) {
    const twin = seen.get(foldedName(name));
    if (twin !== undefined && twin !== name) {
      return [twin, name];
    }
    seen.set(foldedName(name), name);
  }
  return null;
}
